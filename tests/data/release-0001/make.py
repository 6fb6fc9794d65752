"""Make store.tar.xz: a store with one small release, which every later version must open.

    PYTHONPATH=tests python tests/data/release-0001/make.py

It was made once, by the first version that released; it is never made again, or it would prove
nothing. The model is the bundled base cut down to 64 of its 192 dimensions, its decoder tuned until
it knows 17 clips by heart. Tokens that they do not have share one embedding, so that it packs to
little.
"""

import contextlib
import lzma
import socket
import sys
import tarfile
import tempfile
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import WhisperConfig, WhisperForConditionalGeneration

from modersmal.audio import decode
from modersmal.config import parse_recipe
from modersmal.corpus import Corpus
from modersmal.logmel import WINDOW_FRAMES, clip_features
from modersmal.release.release import release
from modersmal.run import prepare_here, train_here
from modersmal.whisper.load import Whisper, load
from modersmal.whisper.save import save_complete
from modersmal.whisper.tokens import special_ids
from small_release import write_small_release

HERE = Path(__file__).parent
WIDTH, LAYERS = 64, {"encoder_layers": 2, "decoder_layers": 1}
STEPS, LEARNING_RATE, LEARNED = 800, 4e-3, 0.003
DIRECTIONS = 8
NAME = "fixture"


def cut_down(base: Whisper, tokens: set[int]) -> WhisperForConditionalGeneration:
    """The first dimensions, one head and the first layers; all other tokens are alike."""
    sizes = {"d_model": WIDTH, "encoder_ffn_dim": 4 * WIDTH, "decoder_ffn_dim": 4 * WIDTH}
    heads = {"encoder_attention_heads": 1, "decoder_attention_heads": 1}
    table = base.model.config.to_dict() | LAYERS | sizes | heads | {"dtype": "float32"}
    model = WhisperForConditionalGeneration(WhisperConfig.from_dict(table))
    weights = base.model.float().state_dict()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(weights[name][tuple(slice(0, length) for length in value.shape)])
        rows = model.model.decoder.embed_tokens.weight
        used = sorted(tokens)
        random = torch.randn(len(used), WIDTH, generator=torch.Generator().manual_seed(0))
        rows.zero_()
        rows[used] = 4 * random / random.norm(dim=1, keepdim=True)
        for layer in model.model.encoder.layers:  # what is left of them would only disturb
            for part in (layer.self_attn.out_proj, layer.fc2):
                part.weight.zero_()
                part.bias.zero_()
    return model


@torch.no_grad()
def tell_apart(model: WhisperForConditionalGeneration, heard: torch.Tensor) -> None:
    """Begin with cross-attention that hears the mean of a clip, in the directions in which these
    clips differ."""
    attention = model.model.decoder.layers[0].encoder_attn
    means = heard.mean(1)
    _, spread, directions = torch.linalg.svd(means - means.mean(0), full_matrices=False)
    gains = len(means) ** 0.5 / spread[:DIRECTIONS, None]
    attention.q_proj.weight.zero_()
    attention.q_proj.bias.zero_()
    attention.v_proj.weight.zero_()
    attention.v_proj.weight[:DIRECTIONS] = gains * directions[:DIRECTIONS]
    attention.v_proj.bias.copy_(-attention.v_proj.weight @ means.mean(0))
    attention.out_proj.weight.copy_(torch.eye(WIDTH))


def tune(model: WhisperForConditionalGeneration, mels: torch.Tensor, labels: torch.Tensor) -> None:
    """Have the decoder learn clips by heart; the encoder stays what is left of it.

    `labels` are (n, m) ids from the first start token on, -100 behind. All tokens that no label has
    are one, which counts as often as there are of them.
    """
    table = model.model.decoder.embed_tokens.weight.requires_grad_(False)
    used = labels.unique()[1:]
    other = next(id_ for id_ in range(len(table)) if id_ not in set(used.tolist()))
    rows = torch.cat([table[used], table[other : other + 1]])
    count = torch.zeros(len(rows))
    count[-1] = torch.tensor(len(table) - len(used)).log()
    wanted = torch.searchsorted(used, labels[:, 1:].clamp(min=0))
    wanted[labels[:, 1:] < 0] = -100
    wanted[:, :3] = -100  # the start is given
    with torch.no_grad():
        heard = model.model.encoder(mels).last_hidden_state
    tell_apart(model, heard)
    decoder = model.model.decoder
    learned = [value for value in decoder.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(learned, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, STEPS)
    for step in range(STEPS):
        inputs = labels[:, :-1].clamp(min=0)
        hidden = decoder(inputs, encoder_hidden_states=heard).last_hidden_state
        loss = cross_entropy((hidden @ rows.T + count).flatten(0, 1), wanted.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.4f}", file=sys.stderr, flush=True)
        if loss.item() < LEARNED:
            return


def write_base(corpus: Corpus, to: Path) -> None:
    base = load("bundled")
    splits = [corpus.split(name) for name in corpus.splits]
    texts = [text for split in splits for text in split.texts]
    audio = [data for split in splits for data in split.audio_bytes(range(len(split)))]
    ids = special_ids(base.vocabulary)
    start = [ids.start, ids.languages["sv"], ids.transcribe, ids.no_timestamps]
    lines = [[*start, *base.tokenizer.encode(f" {text}", add_special_tokens=False).ids, ids.end]
             for text in texts]  # fmt: skip
    labels = torch.full((len(lines), max(map(len, lines))), -100)
    for row, line in zip(labels, lines, strict=True):
        row[: len(line)] = torch.tensor(line)
    model = cut_down(base, {id_ for line in lines for id_ in line})
    clips = [decode(data).samples for data in audio]
    mels = clip_features(clips, base.mels, WINDOW_FRAMES, "cpu")
    tune(model, mels, labels)
    whisper = Whisper(
        model, base.tokenizer, base.vocabulary, 80, NAME, base.generation, base.folder
    )
    save_complete(whisper, to, None)


def pack(folder: Path, to: Path) -> None:
    """The same files give the same bytes; what the formats have in common is kept once."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 64 << 20}]
    with (
        lzma.open(to, "wb", filters=filters) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = tar.gettarinfo(path, str(path.relative_to(folder.parent)))
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            with path.open("rb") as file:
                tar.addfile(entry, file)


def main() -> None:
    socket.gethostname = lambda: "somewhere"
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name)
        source = write_small_release(folder / "cv-corpus-demo" / "sv-SE")
        recipe = parse_recipe(
            {
                "name": NAME,
                "model": f"./{NAME}",
                "store": str(folder / "store"),
                "data": {"sources": [str(source)]},
                # What the base knows by heart stays: the steps are for what training writes.
                "train": {"max_steps": 4, "learning_rate": 1e-12, "save_every": 2,
                          "batch_s": 60.0, "full_share": 1.0, "packed_share": 0.0,
                          "timestamp_share": 0.0, "prompt_share": 0.0, "silence_share": 0.0},
                "release": {"average_last": 0, "interpolate": []},
            }
        )  # fmt: skip
        prepared = prepare_here(recipe)
        write_base(Corpus.open(prepared.path), folder / NAME)
        trained = train_here(recipe)
        print(release(trained.run, folder / "store"))
        pack(folder / "store" / "releases", HERE / "store.tar.xz")


if __name__ == "__main__":
    main()

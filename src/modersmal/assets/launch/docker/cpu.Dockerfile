# modersmal for machines without a GPU. By hand: docker build --file cpu.Dockerfile --tag modersmal:<<version>>-cpu .
FROM python:3.11-slim-bookworm

# Whoever gets out of a program in here is nobody: what is installed belongs to root.
RUN useradd --create-home --uid 1000 modersmal && install -d -o modersmal /data

# torch is most of the image and rarely changes, so it has a layer of its own. What package indexes give out for x86 brings
# CUDA along; with the address of an index that has torch for CPUs as PIP_EXTRA_INDEX_URL, the image is much smaller.
ARG PIP_EXTRA_INDEX_URL
RUN pip install --no-cache-dir <<torch>>

# Nothing is copied: the files beside this are only looked at while they are installed.
WORKDIR /files
RUN --mount=type=bind,target=/files pip install --no-cache-dir --requirement requirements.txt

# All that is written lies in /data: recipe, corpora, checkpoints, recordings, and what was downloaded.
# HOME and USER are said for whoever has another number than 1000.
ENV HF_HOME=/data/cache/huggingface XDG_CACHE_HOME=/data/cache HOME=/data/cache USER=modersmal PYTHONUNBUFFERED=1
WORKDIR /data
USER 1000:1000
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=10s --start-period=10m \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health', timeout=9)"]
ENTRYPOINT ["modersmal"]
CMD ["--help"]

# modersmal for Nvidia's GPUs. By hand: docker build --file cuda.Dockerfile --tag modersmal:<<version>>-cuda .
# The machine needs the driver and Nvidia's container toolkit; CUDA itself comes with torch.
FROM python:3.11-slim-bookworm

# Whoever gets out of a program in here is nobody: what is installed belongs to root.
RUN useradd --create-home --uid 1000 modersmal && install -d -o modersmal /data

# torch compiles a model's layers when a long training begins, and needs a C compiler for it. Debian keeps no old versions, so
# there is none to pin.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*

# torch is most of the image and rarely changes, so it has a layer of its own. CTranslate2, which decodes, needs cuBLAS of CUDA 12
# beside the CUDA that torch brings.
RUN pip install --no-cache-dir <<torch>> <<cublas>>
ENV LD_LIBRARY_PATH=/usr/local/lib/python3.11/site-packages/nvidia/cublas/lib

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

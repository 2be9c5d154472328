# The program with its CUDA module, for the GPUs named below, by the same two commands as for CPUs:
#   docker build -f docker/cuda.Dockerfile -t espalier-cuda .
#   docker run --rm --gpus all -v "$PWD/runs:/espalier/runs" espalier-cuda train --recipe quickstart     # ./run
#   docker run --rm --gpus all --entrypoint ./test espalier-cuda                                         # ./test
FROM nvidia/cuda:12.6.3-devel-ubuntu24.04
WORKDIR /espalier
COPY . .
ARG ARCHITECTURES="75;80;86;89;90"
RUN scripts/install_packages build
RUN cmake --preset release -DESPALIER_TESTS=OFF -DESPALIER_BENCH=OFF "-DESPALIER_CUDA_ARCHITECTURES=$ARCHITECTURES"
RUN ./run --version && test -f build/libespalier_cuda.so
ENTRYPOINT ["./run"]

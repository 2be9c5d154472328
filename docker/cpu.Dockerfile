# The program for CPUs, from a clone, by its own two commands:
#   docker build -f docker/cpu.Dockerfile -t espalier .
#   docker run --rm -v "$PWD/runs:/espalier/runs" espalier train --recipe quickstart     # ./run
#   docker run --rm --entrypoint ./test espalier                                         # ./test
FROM debian:bookworm
WORKDIR /espalier
COPY . .
RUN ./run --version
ENTRYPOINT ["./run"]

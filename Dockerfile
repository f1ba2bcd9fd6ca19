# NeoStock Ops in a container.
#
#   docker build -t neostock-ops .
#   docker run -v neostock-data:/var/lib/neostock-ops --env-file secrets.env \
#     -v ./runbook:/etc/neostock-ops:ro -p 8080:8080 neostock-ops
#
# A killed container takes every step in it along: read docs/operating.md before you choose one. What a
# runbook's steps call (ssh, bun, psql …) is not in here: build your own image on top of this one.

# What it stands on and what it is compiled with; any Debian 12 and any Rust image serve.
ARG BASE=debian:12-slim
ARG RUST=rust:1.94-slim-bookworm
# `build` compiles the sources; `given` takes a neostock-ops that lies in the context already, built on
# Debian 12 or older.
ARG BINARY=build

FROM ${RUST} AS build
RUN apt-get update -q && apt-get install -q -y --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --locked --profile dist --bin neostock-ops \
    && cp target/dist/neostock-ops /neostock-ops

FROM scratch AS given
COPY neostock-ops /neostock-ops

FROM ${BINARY} AS binary

# git's one program does everything that the bot asks of it, which only reads. Its package would bring
# Perl along, which is as large as all the rest, and what fetches over https. apt and dpkg stay, so that
# an image on top of this one installs what its steps call.
FROM ${BASE} AS files
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        ca-certificates libpcre2-8-0 tini zlib1g \
    && cd /tmp && apt-get download -q git && dpkg-deb --extract git_*.deb git \
    && install git/usr/bin/git /usr/bin/git \
    && apt-get purge -q -y --auto-remove --allow-remove-essential e2fsprogs \
    && groupadd --system --gid 10001 neostock-ops \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/neostock-ops neostock-ops \
    && rm -rf /tmp/* /var/lib/apt/lists/* /var/cache/* /var/log/* \
        /usr/share/man/* /usr/share/info/* /usr/share/locale/* \
        /usr/share/zoneinfo/right /usr/share/zoneinfo/posix /usr/lib/*-linux-gnu/gconv \
        /usr/bin/tini-static /var/lib/dpkg/info/*.md5sums /var/lib/dpkg/info/*.symbols \
        /var/lib/dpkg/*-old \
    && find /usr/share/doc -type f ! -name copyright -delete \
    && mkdir -p /var/cache/apt/archives/partial /var/cache/debconf /var/log/apt

# One layer of it all: what was removed takes no room.
FROM scratch AS runtime
COPY --from=files / /
COPY --from=binary /neostock-ops /usr/bin/neostock-ops
RUN install -d -m 0700 -o 10001 -g 10001 /var/lib/neostock-ops

USER 10001:10001
WORKDIR /var/lib/neostock-ops
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NEOSTOCK_LISTEN=0.0.0.0:8080 \
    NEOSTOCK_DATA_DIR=/var/lib/neostock-ops \
    NEOSTOCK_RUNBOOK=/etc/neostock-ops/runbook.yml
VOLUME /var/lib/neostock-ops
EXPOSE 8080
# Ready means: database and Slack answer. An unhealthy container must not be killed for it: that would
# kill the steps in it. Docker itself only shows it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["neostock-ops", "health"]
STOPSIGNAL SIGTERM
# tini is PID 1: it passes signals on and buries the orphans that steps leave behind.
ENTRYPOINT ["/usr/bin/tini", "--", "neostock-ops"]
CMD ["serve"]

# The service alone: no Postgres, no tests, no build tools. Settings come as RTI_* variables or by --env-file.
#   docker build -t realtime-inspector .
#   docker run --env-file realtime-inspector.env -p 4000:4000 realtime-inspector

FROM python:3.13-slim AS build
WORKDIR /source
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements-build.lock requirements-runtime.lock ./
RUN python -m venv /build \
 && /build/bin/pip install --require-hashes --only-binary :all: -r requirements-build.lock \
 && python -m venv /opt/realtime-inspector \
 && /opt/realtime-inspector/bin/pip install --require-hashes --only-binary :all: -r requirements-runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY realtime_inspector realtime_inspector
COPY web web
RUN /build/bin/python -m hatchling build --target wheel \
 && /opt/realtime-inspector/bin/pip install --no-deps --no-index dist/*.whl \
 && /opt/realtime-inspector/bin/pip uninstall --yes pip

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin realtime
COPY --from=build /opt/realtime-inspector /opt/realtime-inspector
ENV PATH=/opt/realtime-inspector/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
EXPOSE 4000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import os, urllib.request as web; web.urlopen(f'http://127.0.0.1:{os.environ.get(\"RTI_PORT\", 4000)}/healthz', timeout=2)"]
CMD ["realtime-inspector", "serve", "--host", "0.0.0.0"]

# The command line of padless, for any machine with a container engine:
#
#   docker build --tag padless .
#   docker run --rm --user "$(id -u)" --volume "$PWD:/data" padless preprocess runs.csv --output dataset
#
# With GPUs: `--build-arg EXTRAS=compare,gpu,html`, and `docker run --gpus all`.
FROM python:3.12-slim
ARG EXTRAS=compare,html
COPY . /usr/src/padless
RUN pip install --no-cache-dir --root-user-action=ignore "/usr/src/padless[$EXTRAS]"
# Whoever runs the container may have no home there.
ENV HOME=/tmp
WORKDIR /data
ENTRYPOINT ["padless"]

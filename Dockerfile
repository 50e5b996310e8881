# Slipway on the official Airflow image: non-root, CPU by default.
#   CPU:  docker build -t slipway .
#   GPU:  docker build -t slipway:gpu --build-arg TORCH_INDEX_URL=<the PyTorch index of your CUDA version> .
ARG AIRFLOW_VERSION=3.3.2
FROM apache/airflow:${AIRFLOW_VERSION}-python3.11

# Where torch comes from. Empty: the package index that pip is configured with. The lock pins torch's version without a
# build tag, so the same lock gives a CPU build or a CUDA build, whichever this index offers.
ARG TORCH_INDEX_URL=""

WORKDIR /opt/airflow/slipway
COPY --chown=airflow:0 requirements.txt pyproject.toml README.md LICENSE ./
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN grep '^torch==' requirements.txt > torch.txt \
    && pip install --no-cache-dir -r torch.txt ${TORCH_INDEX_URL:+--index-url "${TORCH_INDEX_URL}"} \
    && pip install --no-cache-dir -r requirements.txt

COPY --chown=airflow:0 include ./include
COPY --chown=airflow:0 dags ./dags
COPY --chown=airflow:0 plugins ./plugins
# compiled here: a container, and so each task where every task has one of its own, would compile what it imports
RUN pip install --no-cache-dir --no-deps --editable . \
    && python -m compileall -q include dags plugins

ENV AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/slipway/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/airflow/slipway/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    SLIPWAY_COLLECTIONS=/opt/airflow/slipway/include/collections \
    SLIPWAY_STORE=/opt/airflow/store \
    SLIPWAY_CACHE=/opt/airflow/cache

# What is found out about encoders and what is converted goes here: mount a volume, or fill it in an image of yours, built
# on machines like those that it will run on:  RUN slipway warm <collection>
RUN mkdir -p /opt/airflow/cache && chmod 775 /opt/airflow/cache

# the airflow user of the base image, by number so that a cluster can see that it is not root
USER 50000

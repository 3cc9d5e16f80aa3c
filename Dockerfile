# A node of tus-relay. The image has a Node of its own; the npm package `node`, with which a clone starts itself, is
# left out. test/unit/deploy.test.ts holds the two to one version.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

# --- the web page, built with the development dependencies
# hadolint ignore=DL3006
FROM ${NODE_IMAGE} AS page
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Without scripts: the only ones are those that fetch the npm package `node`.
RUN npm ci --ignore-scripts
COPY client ./client
RUN ["node", "node_modules/vite/bin/vite.js", "build", "client", "--logLevel", "warn"]

# --- what runs
# hadolint ignore=DL3006
FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts && rm -rf node_modules/node node_modules/.bin/node

# hadolint ignore=DL3006
FROM ${NODE_IMAGE}
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 DATA_DIR=/data
WORKDIR /app
RUN mkdir /data /app/compiled && chown node:node /data /app/compiled
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=page /app/client/dist ./client/dist
COPY package.json LICENSE ./
COPY src ./src
# The base image's user `node`.
USER 1000:1000
# The whole program is loaded once: what is missing in the image shows here and not at the first start, and what has
# been compiled is kept, so that a container starts in half the time and with less memory. Not below /tmp, over which
# docker-compose.yml lays a tmpfs; read-only is enough.
ENV NODE_COMPILE_CACHE=/app/compiled
RUN ["node", "src/main.ts", "--help"]
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/livez').then((it) => process.exit(it.ok ? 0 : 1), () => process.exit(1))"]
# `docker run … src/commands/sweep.ts --deep` runs a command instead.
ENTRYPOINT ["node"]
CMD ["--max-semi-space-size=8", "src/main.ts"]

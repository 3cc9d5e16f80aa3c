/** docs/caddy.md, run as it is written. */
import { test } from 'node:test';
import { startCaddy } from '../support/services/start-caddy.ts';
import { documentedConfig } from './support/documented-config.ts';
import { HOST_NAME, holdsBehindProxy, type ProxySetting, tellsToComeAgain } from './support/proxy-suite.ts';

const startDocumentedCaddy = ({ nodes, certificate }: ProxySetting) =>
  startCaddy((port) =>
    documentedConfig('caddy.md', 'caddyfile', {
      'uploads.example.com {': `https://${HOST_NAME}:${port} {\n\ttls ${certificate.certPath} ${certificate.keyPath}`,
      '10.0.0.11:8080': nodes[0],
      '10.0.0.12:8080': nodes[1],
    }),
  );

test('behind Caddy', (t) => holdsBehindProxy(t, startDocumentedCaddy));

test('behind Caddy, with no node up', (t) => tellsToComeAgain(t, startDocumentedCaddy));

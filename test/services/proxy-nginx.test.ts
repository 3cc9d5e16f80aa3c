/** docs/nginx.md, run as it is written. */
import { test } from 'node:test';
import { startNginx } from '../support/services/start-nginx.ts';
import { documentedConfig } from './support/documented-config.ts';
import { HOST_NAME, holdsBehindProxy } from './support/proxy-suite.ts';

test('behind nginx', async (t) => {
  await holdsBehindProxy(t, ({ nodes, certificate }) =>
    startNginx((port) =>
      documentedConfig('nginx.md', 'nginx', {
        'listen 443 ': `listen 127.0.0.1:${port} `,
        'server_name uploads.example.com;': `server_name ${HOST_NAME};`,
        '/etc/nginx/tls/uploads.crt': certificate.certPath,
        '/etc/nginx/tls/uploads.key': certificate.keyPath,
        '10.0.0.11:8080': nodes[0],
        '10.0.0.12:8080': nodes[1],
      }),
    ),
  );
});

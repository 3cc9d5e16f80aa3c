/** docs/nginx.md, run as it is written, in front of two nodes. */
import { networkInterfaces } from 'node:os';
import { type NginxServer, startNginx } from '../../support/services/start-nginx.ts';
import { documentedConfig } from './documented-config.ts';
import { HOST_NAME, type ProxySetting } from './proxy-suite.ts';

/** @returns null when nginx is not installed */
export function startDocumentedNginx({ nodes, certificate }: ProxySetting): Promise<NginxServer | null> {
  return startNginx((port) =>
    documentedConfig('nginx.md', 'nginx', {
      'listen 443 ': `listen 127.0.0.1:${port} `,
      // As the page says of machines without IPv6.
      'listen [::]:443 ssl http2;': hasIpv6() ? `listen [::1]:${port} ssl http2;` : '',
      'server_name uploads.example.com;': `server_name ${HOST_NAME};`,
      '/etc/nginx/tls/uploads.crt': certificate.certPath,
      '/etc/nginx/tls/uploads.key': certificate.keyPath,
      '10.0.0.11:8080': nodes[0],
      '10.0.0.12:8080': nodes[1],
    }),
  );
}

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some((it) => it.address === '::1'));
}

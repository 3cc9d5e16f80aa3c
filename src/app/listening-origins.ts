import type { AddressInfo } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';

/**
 * Where the server can be reached, as a browser writes it: this machine's own address first.
 *
 * @param interfaces as `os.networkInterfaces()` has them
 */
export function originsOf(
  { address, family, port }: AddressInfo,
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
): [own: string, ...others: string[]] {
  const isWildcard = address === '0.0.0.0' || address === '::';
  if (!isWildcard) return [`http://${family === 'IPv6' ? `[${address}]` : address}:${port}`];
  const found = Object.values(interfaces).flatMap((addresses) => addresses ?? []);
  const hosts = found
    // One that is for its own link only (fe80::) does not stand in a URL.
    .filter((it) => !it.internal && (it.family === 'IPv4' || (address === '::' && it.scopeid === 0)))
    .map((it) => (it.family === 'IPv6' ? `[${it.address}]` : it.address));
  return [`http://127.0.0.1:${port}`, ...hosts.map((host) => `http://${host}:${port}`)];
}

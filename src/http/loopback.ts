/** Names and addresses by which a machine reaches itself. No name that an attacker owns is among them. */

/** @param hostname as `URL.hostname` writes it: lower case, IPv6 in brackets or without */
export function isLoopbackName(hostname: string): boolean {
  const name = hostname.replace(/\.$/, '').replace(/^\[(.*)\]$/, '$1');
  if (name === 'localhost' || name.endsWith('.localhost')) return true;
  return name === '::1' || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(name) || /^::ffff:7f[0-9a-f]{2}:[0-9a-f]+$/.test(name);
}

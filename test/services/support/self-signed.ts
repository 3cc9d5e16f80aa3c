import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { makeTempFolder } from '../../support/services/temp-folder.ts';

export interface Certificate {
  certPath: string;
  keyPath: string;
  /** For clients that shall trust it. */
  pem: string;
}

/** For a day and one name; gone with the test. */
export async function selfSigned(t: TestContext, hostName: string): Promise<Certificate> {
  const folder = await makeTempFolder('tls');
  t.after(() => folder.remove());
  const [certPath, keyPath] = [join(folder.path, 'server.crt'), join(folder.path, 'server.key')];
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'],
    ...['-subj', `/CN=${hostName}`, '-addext', `subjectAltName=DNS:${hostName}`, '-keyout', keyPath, '-out', certPath],
  ]);
  return { certPath, keyPath, pem: await readFile(certPath, 'utf8') };
}

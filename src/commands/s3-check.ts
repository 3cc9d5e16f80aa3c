/** `npm run s3:check`. Ends with 0 when all that is needed works, 1 when not, 2 when it was asked for what it cannot. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { externalSettings, openStorage } from '../app/open-storage.ts';
import { type Config, loadConfig, type Secrets } from '../config.ts';
import { StartError } from '../errors.ts';
import { createLogger } from '../observability/logger.ts';
import { providerProfile } from '../provider-profiles.ts';
import { checkBucket } from '../s3/check-bucket.ts';
import type { S3Settings } from '../s3/s3-client.ts';
import { S3ObjectStorage } from '../s3/s3-object-storage.ts';
import { runCommand } from './run-command.ts';
import { CHECK_USAGE, readCheckArguments } from './s3-arguments.ts';
import { checkEverything } from './s3-check-run.ts';
import { describeCheck, exitCodeOfCheck } from './s3-check-text.ts';

process.exitCode = await runCommand('s3:check', CHECK_USAGE, async () => {
  const wish = readCheckArguments(process.argv.slice(2));
  if (wish === 'help') return 'help';
  const { config, secrets } = loadConfig(process.env);
  return config.s3.kind === 'embedded'
    ? checkEmbedded(config, secrets, wish.origins)
    : checkExternal(config, secrets, wish.origins);
});

async function checkExternal(config: Config, secrets: Secrets, origins: string[]): Promise<number> {
  if (config.s3.kind !== 'external') throw new TypeError('there is no bucket of the operator’s own');
  const settings = externalSettings(config.s3, secrets.s3Credentials);
  const { bucket, endpoint, region } = settings;
  const storage = new S3ObjectStorage(settings);
  try {
    const problem = await checkBucket(storage.client, {
      bucket,
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
    });
    // A bucket that may not be listed can still be tried for all the rest; nothing can be with any other problem.
    if (problem !== null && problem.kind !== 'listing') {
      const hint = problem.kind === 'missing' ? ' "npm run s3:bootstrap -- --create" makes it.' : '';
      throw new StartError(`${problem.message}${hint}`);
    }
    return await tryAndTell(config, settings, storage, `bucket ${bucket} at ${endpoint ?? `AWS ${region}`}`, origins);
  } finally {
    storage.close();
  }
}

/** In a folder and on a port of its own, beside whatever server is running. */
async function checkEmbedded(config: Config, secrets: Secrets, origins: string[]): Promise<number> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tus-relay-s3-check-'));
  try {
    const own: Config = { ...config, dataDir, s3: { kind: 'embedded', port: 0 } };
    const opened = await openStorage(own, secrets, createLogger('warn', process.stderr));
    try {
      process.stdout.write(
        'S3_BUCKET is not set: this tries the embedded S3 server, in an empty folder of its own.\n\n',
      );
      return await tryAndTell(own, opened.settings, opened.storage, opened.address, origins);
    } finally {
      await opened.close();
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function tryAndTell(
  config: Config,
  settings: S3Settings,
  storage: S3ObjectStorage,
  address: string,
  origins: string[],
): Promise<number> {
  const profileName = config.s3.kind === 'external' ? config.s3.profile : 'generic';
  const profile = providerProfile(profileName);
  const report = await checkEverything({
    ...{ storage, profile, origins },
    bucket: settings.bucket,
    keyPrefix: config.s3KeyPrefix,
    payloadSigning: settings.payloadSigning,
    withSigning: (payloadSigning) => new S3ObjectStorage({ ...settings, payloadSigning }),
  });
  process.stdout.write(describeCheck(report, { address, profile, profileName, maxParts: config.s3MaxParts }));
  return exitCodeOfCheck(report);
}

/**
 * `npm run s3:bootstrap`. Ends with 0 when all that was asked for is done, 1 when something is left to do by hand, 2 when
 * it was asked for what it cannot.
 */
import { externalSettings } from '../app/open-storage.ts';
import { type Config, loadConfig, type Secrets } from '../config.ts';
import { StartError } from '../errors.ts';
import { checkBucket } from '../s3/check-bucket.ts';
import { S3Error } from '../s3/s3-errors.ts';
import { S3ObjectStorage } from '../s3/s3-object-storage.ts';
import { runCommand } from './run-command.ts';
import { BOOTSTRAP_USAGE, readBootstrapArguments } from './s3-arguments.ts';
import { allowDirectUploads, type CorsResult, corsRule, createBucket } from './s3-bootstrap-bucket.ts';

process.exitCode = await runCommand('s3:bootstrap', BOOTSTRAP_USAGE, async () => {
  const wish = readBootstrapArguments(process.argv.slice(2));
  if (wish === 'help') return 'help';
  const { config, secrets } = loadConfig(process.env);
  return bootstrap(config, secrets, wish);
});

async function bootstrap(
  config: Config,
  secrets: Secrets,
  { create, origins }: { create: boolean; origins: string[] },
): Promise<number> {
  if (config.s3.kind === 'embedded') {
    process.stdout.write(
      'S3_BUCKET is not set: the embedded S3 server makes its bucket itself, and lets every page in.\n',
    );
    return 0;
  }
  const settings = externalSettings(config.s3, secrets.s3Credentials);
  const { bucket, region, endpoint } = settings;
  const storage = new S3ObjectStorage(settings);
  const { client } = storage;
  try {
    if (create) {
      const created = await createBucket(client, bucket, region).catch(explainRefusal);
      process.stdout.write(`Bucket ${bucket}: ${created ? 'created' : 'is there already'}.\n`);
    }
    const problem = await checkBucket(client, { bucket, region, ...(endpoint === undefined ? {} : { endpoint }) });
    if (problem !== null) {
      const hint = problem.kind === 'missing' ? ' Create it with --create.' : '';
      throw new StartError(`${problem.message}${hint}`);
    }
    if (origins.length === 0) return 0;
    const result = await allowDirectUploads(client, bucket, origins).catch(explainRefusal);
    process.stdout.write(describeCors(result, bucket, origins));
    return result === 'unsupported' || result === 'denied' ? 1 : 0;
  } finally {
    storage.close();
  }
}

function describeCors(result: CorsResult, bucket: string, origins: readonly string[]): string {
  const pages = origins.join(', ');
  const byHand = `Allow it by hand for bucket ${bucket}, in the service's own configuration or in a proxy before it:\n${JSON.stringify(
    [corsRule(origins)],
    null,
    2,
  )}\n`;
  switch (result) {
    case 'set':
      return `Pages of ${pages} may upload directly to bucket ${bucket}.\n`;
    case 'kept':
      return `Pages of ${pages} could upload directly to bucket ${bucket} before; nothing was changed.\n`;
    case 'open':
      return `The service has no CORS rules for a bucket, and lets pages of ${pages} in as it is; nothing was changed.\n`;
    case 'unsupported':
      return `The service has no CORS rules for a bucket, and does not let pages of ${pages} in.\n${byHand}`;
    case 'denied':
      return `Our credentials may not change the rules (s3:GetBucketCORS and s3:PutBucketCORS on the bucket).\n${byHand}`;
  }
}

/** @throws StartError with one sentence in place of what the service said */
function explainRefusal(error: unknown): never {
  if (!(error instanceof S3Error)) throw error;
  const hint = error.httpStatus === 403 ? ': our credentials may not do that, or the name is somebody else’s' : '';
  throw new StartError(`${error.message}${hint}`, { cause: error });
}

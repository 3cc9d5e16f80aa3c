/** Makes a bucket ready for us: creates it, and lets pages upload to it directly. */
import {
  type CORSRule,
  CreateBucketCommand,
  GetBucketCorsCommand,
  HeadBucketCommand,
  PutBucketCorsCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { letsPageIn } from '../s3/page-access.ts';
import { errorOfThrown } from '../s3/s3-errors.ts';

/** Ours among the rules of a bucket. */
const RULE_ID = 'tus-relay-direct-uploads';
/** Browsers ask again after it. */
const PREFLIGHT_SECS = 3_600;

export type CorsResult = 'set' | 'kept' | 'open' | 'unsupported' | 'denied';

/** @returns false when it had been there, and ours. @throws S3Error */
export async function createBucket(client: S3Client, bucket: string, region: string): Promise<boolean> {
  try {
    await client.send(new HeadBucketCommand({ Bucket: bucket }));
    return false;
  } catch (thrown) {
    // Whatever else is wrong, Create says it with a body.
    if (errorOfThrown('HeadBucket', thrown).httpStatus === 403) throw errorOfThrown('HeadBucket', thrown);
  }
  try {
    await client.send(new CreateBucketCommand({ Bucket: bucket, ...placedIn(client, region) }));
    return true;
  } catch (thrown) {
    const error = errorOfThrown('CreateBucket', thrown);
    if (error.s3Code === 'BucketAlreadyOwnedByYou') return false;
    throw error;
  }
}

/**
 * Adds our rule, or replaces it; those of others stay.
 *
 * @returns kept: the very same rule was there already. unsupported: the service has no CORS rules for a bucket; open:
 *   it has none, and lets these pages in as it is
 * @throws S3Error for anything but that and a refusal
 */
export async function allowDirectUploads(
  client: S3Client,
  bucket: string,
  origins: readonly string[],
): Promise<CorsResult> {
  const rule = corsRule(origins);
  try {
    const others = await otherRules(client, bucket);
    if (others.mine !== null && sameRule(others.mine, rule)) return 'kept';
    await client.send(
      new PutBucketCorsCommand({ Bucket: bucket, CORSConfiguration: { CORSRules: [...others.rules, rule] } }),
    );
    return 'set';
  } catch (thrown) {
    const error = errorOfThrown('PutBucketCors', thrown);
    if (error.httpStatus === 501 || error.s3Code === 'NotImplemented' || error.httpStatus === 405) {
      return (await letsAllIn(client, bucket, origins)) ? 'open' : 'unsupported';
    }
    if (error.httpStatus === 403) return 'denied';
    throw error;
  }
}

/** What a page needs: parts and single objects by PUT, and the ETag of each. */
export function corsRule(origins: readonly string[]): CORSRule {
  return {
    ID: RULE_ID,
    AllowedOrigins: [...origins],
    AllowedMethods: ['GET', 'HEAD', 'PUT', 'POST'],
    AllowedHeaders: ['*'],
    ExposeHeaders: ['ETag', 'Location'],
    MaxAgeSeconds: PREFLIGHT_SECS,
  };
}

async function otherRules(client: S3Client, bucket: string): Promise<{ rules: CORSRule[]; mine: CORSRule | null }> {
  try {
    const { CORSRules = [] } = await client.send(new GetBucketCorsCommand({ Bucket: bucket }));
    return {
      rules: CORSRules.filter((rule) => rule.ID !== RULE_ID),
      mine: CORSRules.find((rule) => rule.ID === RULE_ID) ?? null,
    };
  } catch (thrown) {
    if (errorOfThrown('GetBucketCors', thrown).s3Code === 'NoSuchCORSConfiguration') return { rules: [], mine: null };
    throw thrown;
  }
}

async function letsAllIn(client: S3Client, bucket: string, origins: readonly string[]): Promise<boolean> {
  const url = await getSignedUrl(client, new PutObjectCommand({ Bucket: bucket, Key: 'cors' }));
  // Nobody is everybody: whoever lets this one in asks no page where it comes from.
  const pages = origins.map((origin) => (origin === '*' ? 'https://page.example' : origin));
  const answers = await Promise.all(pages.map((page) => letsPageIn(url, page)));
  return answers.every((letIn) => letIn);
}

function sameRule(found: CORSRule, wished: CORSRule): boolean {
  const sorted = (list: string[] | undefined) => [...(list ?? [])].sort().join(' ');
  const lists = ['AllowedOrigins', 'AllowedMethods', 'AllowedHeaders', 'ExposeHeaders'] as const;
  return (
    lists.every((list) => sorted(found[list]) === sorted(wished[list])) && found.MaxAgeSeconds === wished.MaxAgeSeconds
  );
}

/** us-east-1 is AWS's default and may not be named there; other services do not care, or know one region only. */
function placedIn(client: S3Client, region: string): object {
  const isAws = client.config.endpoint === undefined;
  return isAws && region !== 'us-east-1' ? { CreateBucketConfiguration: { LocationConstraint: region } } : {};
}

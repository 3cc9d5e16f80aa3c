/**
 * In what S3-compatible services differ, as far as we know: `S3_PROFILE` picks one, explicit variables win over it.
 *
 * What no profile needs to say, since we do it everywhere: parts are equal but for the last (R2 demands it), numbered
 * from 1 without gaps (AWS's directory buckets demand it), and sent without additional checksums (B2 and GCS refuse
 * them); objects are never tagged (R2 and Garage cannot); stale multipart uploads are ours to remove (MinIO and
 * versitygw have no rule for that); a multipart upload is looked for by its exact key (MinIO finds it by no other).
 */

/** Not known: whether it works is for `npm run s3:check` to find out, and nothing depends on it. */
export type Known = 'yes' | 'no' | 'unknown';

export interface ProviderProfile {
  /** For people. */
  readonly title: string;
  /** Most parts in one object. Where no source says more, the least that any service has. */
  readonly maxParts: number;
  /** `endpoint/bucket`. null: exactly when there is an endpoint. */
  readonly forcePathStyle: boolean | null;
  /** A second Complete of the same upload: 'yes' when it is answered like the first, 'no' when with NoSuchUpload. */
  readonly repeatableComplete: Known;
  /** ListMultipartUploads by prefix; 'no': by exact key only. */
  readonly multipartsByPrefix: Known;
  readonly uploadPartCopy: Known;
  /** If-None-Match on PutObject. */
  readonly conditionalPut: Known;
  /** Rules of a bucket for pages of other origins, which can be set through S3 itself. */
  readonly bucketCors: Known;
  /** A lifecycle rule that aborts multipart uploads. A second net below our sweeper, never needed. */
  readonly abortRule: Known;
}

/** As AWS documents S3, with nothing taken for granted. */
const GENERIC: ProviderProfile = {
  title: 'an S3-compatible service',
  maxParts: 10_000,
  forcePathStyle: null,
  repeatableComplete: 'unknown',
  multipartsByPrefix: 'unknown',
  uploadPartCopy: 'unknown',
  conditionalPut: 'unknown',
  bucketCors: 'unknown',
  abortRule: 'unknown',
};

/** Wherever the limit is not documented to us. */
const FEWEST_PARTS = 1_000;

export const PROVIDER_PROFILES = {
  generic: GENERIC,
  aws: {
    ...GENERIC,
    title: 'AWS S3',
    forcePathStyle: false,
    multipartsByPrefix: 'yes',
    uploadPartCopy: 'yes',
    conditionalPut: 'yes',
    bucketCors: 'yes',
    abortRule: 'yes',
  },
  minio: {
    ...GENERIC,
    title: 'MinIO',
    forcePathStyle: true,
    repeatableComplete: 'no',
    multipartsByPrefix: 'no',
    uploadPartCopy: 'yes',
    conditionalPut: 'yes',
    bucketCors: 'no',
    abortRule: 'no',
  },
  r2: { ...GENERIC, title: 'Cloudflare R2', uploadPartCopy: 'yes', conditionalPut: 'yes', abortRule: 'yes' },
  b2: { ...GENERIC, title: 'Backblaze B2', uploadPartCopy: 'yes', abortRule: 'yes' },
  wasabi: { ...GENERIC, title: 'Wasabi', maxParts: FEWEST_PARTS, abortRule: 'yes' },
  gcs: { ...GENERIC, title: 'Google Cloud Storage (XML API)', maxParts: FEWEST_PARTS, abortRule: 'yes' },
  ceph: { ...GENERIC, title: 'Ceph RGW', uploadPartCopy: 'yes', conditionalPut: 'yes' },
  seaweedfs: { ...GENERIC, title: 'SeaweedFS', uploadPartCopy: 'yes', conditionalPut: 'yes', abortRule: 'yes' },
  garage: { ...GENERIC, title: 'Garage', maxParts: FEWEST_PARTS, uploadPartCopy: 'yes', abortRule: 'yes' },
  versitygw: {
    ...GENERIC,
    title: 'versitygw',
    forcePathStyle: true,
    repeatableComplete: 'yes',
    multipartsByPrefix: 'yes',
    uploadPartCopy: 'yes',
    conditionalPut: 'yes',
    bucketCors: 'yes',
    abortRule: 'no',
  },
  rustfs: { ...GENERIC, title: 'RustFS', conditionalPut: 'yes', abortRule: 'yes' },
  scaleway: {
    ...GENERIC,
    title: 'Scaleway Object Storage',
    maxParts: 1_000,
    conditionalPut: 'yes',
    abortRule: 'yes',
  },
  spaces: { ...GENERIC, title: 'DigitalOcean Spaces', maxParts: FEWEST_PARTS },
} as const satisfies Readonly<Record<string, ProviderProfile>>;

export type ProviderName = keyof typeof PROVIDER_PROFILES;

export const PROVIDER_NAMES = Object.keys(PROVIDER_PROFILES) as ProviderName[];

export function providerProfile(name: ProviderName): ProviderProfile {
  return PROVIDER_PROFILES[name];
}

/** @param hasEndpoint the service is named by a URL rather than found by region */
export function addressesByPath(profile: ProviderProfile, hasEndpoint: boolean): boolean {
  return profile.forcePathStyle ?? hasEndpoint;
}

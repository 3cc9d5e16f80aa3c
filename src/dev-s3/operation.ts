/** Which operation of S3 a request is: told by its method, by what it goes to, and by its query and headers. */
import type { IncomingHttpHeaders } from 'node:http';
import { DevS3Error } from './dev-s3-errors.ts';
import type { Query, RequestTarget } from './request-target.ts';

const OPERATION_NAMES = [
  'ListBuckets',
  'CreateBucket',
  'HeadBucket',
  'DeleteBucket',
  'GetBucketLocation',
  'GetBucketVersioning',
  'GetBucketCors',
  'PutBucketCors',
  'DeleteBucketCors',
  'ListObjects',
  'ListObjectsV2',
  'ListMultipartUploads',
  'DeleteObjects',
  'PutObject',
  'CopyObject',
  'GetObject',
  'HeadObject',
  'DeleteObject',
  'CreateMultipartUpload',
  'UploadPart',
  'UploadPartCopy',
  'ListParts',
  'CompleteMultipartUpload',
  'AbortMultipartUpload',
  'Preflight',
] as const;

export type OperationName = (typeof OPERATION_NAMES)[number];

export function isOperationName(name: string): name is OperationName {
  return (OPERATION_NAMES as readonly string[]).includes(name);
}

/**
 * Query parameters that make a request another operation. All that S3 has are listed, since one that we do not know
 * must not be taken for the plain operation: a PutObjectAcl is no PutObject.
 */
const SUBRESOURCES = new Set([
  ...['abac', 'accelerate', 'acl', 'analytics', 'attributes', 'cors', 'delete', 'encryption', 'intelligent-tiering'],
  ...[
    'inventory',
    'legal-hold',
    'lifecycle',
    'location',
    'logging',
    'metadataConfiguration',
    'metadataTable',
    'metrics',
  ],
  ...[
    'notification',
    'object-lock',
    'ownershipControls',
    'policy',
    'policyStatus',
    'publicAccessBlock',
    'renameObject',
  ],
  ...['replication', 'requestPayment', 'restore', 'retention', 'select', 'session', 'tagging', 'torrent', 'uploads'],
  ...['versioning', 'versions', 'website'],
]);

const BUCKET: Readonly<Record<string, OperationName>> = {
  PUT: 'CreateBucket',
  HEAD: 'HeadBucket',
  DELETE: 'DeleteBucket',
  'GET ?location': 'GetBucketLocation',
  'GET ?versioning': 'GetBucketVersioning',
  'GET ?cors': 'GetBucketCors',
  'PUT ?cors': 'PutBucketCors',
  'DELETE ?cors': 'DeleteBucketCors',
  'GET ?uploads': 'ListMultipartUploads',
  'POST ?delete': 'DeleteObjects',
};

const OBJECT: Readonly<Record<string, OperationName>> = {
  PUT: 'PutObject',
  GET: 'GetObject',
  HEAD: 'HeadObject',
  DELETE: 'DeleteObject',
  'POST ?uploads': 'CreateMultipartUpload',
};

const UPLOAD: Readonly<Record<string, OperationName>> = {
  PUT: 'UploadPart',
  GET: 'ListParts',
  POST: 'CompleteMultipartUpload',
  DELETE: 'AbortMultipartUpload',
};

/** @throws DevS3Error NotImplemented, MethodNotAllowed */
export function operationOf(method: string, target: RequestTarget, headers: IncomingHttpHeaders): OperationName {
  if (method === 'OPTIONS') return 'Preflight';
  if (target.bucket === null) return known(method === 'GET' ? 'ListBuckets' : undefined);
  const subresource = subresourceOf(target.query);
  const action = subresource === null ? method : `${method} ?${subresource}`;
  if (target.key === null) {
    if (action === 'GET') return target.query.get('list-type') === '2' ? 'ListObjectsV2' : 'ListObjects';
    return known(BUCKET[action], subresource);
  }
  const isCopy = headers['x-amz-copy-source'] !== undefined;
  if (subresource === null && target.query.has('uploadId')) {
    const operation = known(UPLOAD[method]);
    return operation === 'UploadPart' && isCopy ? 'UploadPartCopy' : operation;
  }
  const operation = known(OBJECT[action], subresource);
  return operation === 'PutObject' && isCopy ? 'CopyObject' : operation;
}

function known(operation: OperationName | undefined, subresource: string | null = null): OperationName {
  if (operation !== undefined) return operation;
  if (subresource === null) throw new DevS3Error('MethodNotAllowed');
  throw new DevS3Error('NotImplemented', `dev-s3 does not implement ?${subresource} with this method.`);
}

function subresourceOf(query: Query): string | null {
  return query.pairs.find(([name]) => SUBRESOURCES.has(name))?.[0] ?? null;
}

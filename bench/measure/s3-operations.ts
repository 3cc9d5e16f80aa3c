/** Names of S3 operations by what a request looks like: those that an upload server can come up with. */

const OBJECT: Readonly<Record<string, string>> = {
  PUT: 'PutObject',
  GET: 'GetObject',
  HEAD: 'HeadObject',
  DELETE: 'DeleteObject',
  'POST ?uploads': 'CreateMultipartUpload',
  'PUT ?uploadId': 'UploadPart',
  'GET ?uploadId': 'ListParts',
  'POST ?uploadId': 'CompleteMultipartUpload',
  'DELETE ?uploadId': 'AbortMultipartUpload',
  'PUT ?tagging': 'PutObjectTagging',
};

const BUCKET: Readonly<Record<string, string>> = {
  GET: 'ListObjects',
  HEAD: 'HeadBucket',
  'GET ?uploads': 'ListMultipartUploads',
  'POST ?delete': 'DeleteObjects',
};

const SUBRESOURCES = ['uploadId', 'uploads', 'tagging', 'delete'];

/**
 * @param target path-style path with its query, as it stands in the request line
 * @param isCopy the request has `x-amz-copy-source`
 * @returns for a request that has no name here, its method and what it went to
 */
export function operationNameOf(method: string, target: string, isCopy: boolean): string {
  const { pathname, searchParams } = new URL(target, 'http://s3');
  const subresource = SUBRESOURCES.find((name) => searchParams.has(name));
  const action = subresource === undefined ? method : `${method} ?${subresource}`;
  const isObject = /^\/[^/]+\/./.test(pathname);
  const name = (isObject ? OBJECT : BUCKET)[action] ?? `${action} of ${isObject ? 'an object' : 'a bucket'}`;
  if (!isCopy) return name;
  return name === 'UploadPart' ? 'UploadPartCopy' : name === 'PutObject' ? 'CopyObject' : name;
}

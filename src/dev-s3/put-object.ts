import { checksumHeaders } from './checksums.ts';
import { writeCondition } from './conditions.ts';
import { receiveFile } from './object-content.ts';
import { objectHeaders } from './object-headers.ts';
import { emptyReply, type Reply } from './reply.ts';
import type { S3Request } from './s3-request.ts';
import { storeObject } from './store.ts';

export async function putObject(request: S3Request): Promise<Reply> {
  const { store, bucket, key, now } = request;
  store.buckets.get(bucket);
  const headers = objectHeaders(request);
  const check = writeCondition(request);
  // Looked at now as well, so that nobody sends 5 GiB in vain.
  if (check !== undefined) check(store.objects.find(bucket, key));
  return receiveFile(request, null, ({ bytes, md5, checksum }, file) => {
    storeObject(
      store,
      bucket,
      {
        ...{ key, bytes, etag: md5, modifiedMs: now.getTime(), headers, checksum },
        content: file === null ? { kind: 'empty' } : { kind: 'file', file },
      },
      check,
    );
    return emptyReply(200, { etag: `"${md5}"`, ...checksumHeaders(checksum) });
  });
}

import type { IncomingHttpHeaders } from 'node:http';
import type { RequestBody } from './request-body.ts';
import type { Query } from './request-target.ts';
import type { Store } from './store.ts';

/** What an operation works with, once the request is believed. */
export interface S3Request {
  readonly store: Store;
  /** '' for an operation on the service. */
  readonly bucket: string;
  /** '' for an operation on a bucket. */
  readonly key: string;
  readonly query: Query;
  /** Of a presigned request with the `x-amz-…` of its query among them: S3 takes either. */
  readonly headers: Readonly<IncomingHttpHeaders>;
  readonly body: RequestBody;
  readonly now: Date;
  readonly region: string;
  readonly secondComplete: 'same-etag' | 'no-such-upload';
}

/** A header's value; undefined when it is not there. */
export function headerOf(request: Pick<S3Request, 'headers'>, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** A real S3 server of a test, empty: the buckets are made by who uses it. */
export interface S3Server {
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: { accessKeyId: string; secretAccessKey: string };
  /** For good, with all its files. Safe to call twice. */
  stop(): Promise<void>;
}

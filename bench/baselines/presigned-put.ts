/** Presigned PUT URLs by hand: the baseline is to be the limit, and the SDK's presigner is not that. */
import { createHash, createHmac } from 'node:crypto';

export interface PresignedPutOptions {
  readonly endpoint: URL;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

const EXPIRES_SECS = 3600;

/** Signature version 4, query parameters, path style. */
export class PresignedPut {
  readonly #options: PresignedPutOptions;
  #day = '';
  #signingKey: Buffer = Buffer.alloc(0);

  constructor(options: PresignedPutOptions) {
    this.#options = options;
  }

  /**
   * @param key plain: nothing in it needs encoding
   * @returns path and query of the URL; the length is signed, so exactly as many bytes have to be sent
   */
  pathFor(key: string, bytes: number, now: Date): string {
    const { endpoint, bucket, region, accessKeyId } = this.#options;
    const time = now.toISOString().replace(/[:-]|\.\d{3}/g, '');
    const day = time.slice(0, 8);
    const scope = `${day}/${region}/s3/aws4_request`;
    const path = `/${bucket}/${key}`;
    const query = [
      'X-Amz-Algorithm=AWS4-HMAC-SHA256',
      `X-Amz-Credential=${encodeURIComponent(`${accessKeyId}/${scope}`)}`,
      `X-Amz-Date=${time}`,
      `X-Amz-Expires=${EXPIRES_SECS}`,
      'X-Amz-SignedHeaders=content-length%3Bhost',
    ].join('&');
    const headers = `content-length:${bytes}\nhost:${endpoint.host}\n`;
    const canonical = `PUT\n${path}\n${query}\n${headers}\ncontent-length;host\nUNSIGNED-PAYLOAD`;
    const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${createHash('sha256').update(canonical).digest('hex')}`;
    const signature = createHmac('sha256', this.#keyOf(day)).update(toSign).digest('hex');
    return `${path}?${query}&X-Amz-Signature=${signature}`;
  }

  #keyOf(day: string): Buffer {
    if (this.#day !== day) {
      const { region, secretAccessKey } = this.#options;
      const parts = [day, region, 's3', 'aws4_request'];
      this.#signingKey = parts.reduce<Buffer>(
        (key, part) => createHmac('sha256', key).update(part).digest(),
        Buffer.from(`AWS4${secretAccessKey}`),
      );
      this.#day = day;
    }
    return this.#signingKey;
  }
}

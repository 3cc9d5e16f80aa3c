import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import {
  CreateBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { REGION, type S3Service } from './s3-service.ts';

/** The bucket that one server stores in, looked at from outside of it. */
export class Bucket {
  readonly name: string;
  readonly #client: S3Client;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });

  private constructor(name: string, client: S3Client) {
    this.name = name;
    this.#client = client;
  }

  static async create({ endpoint, accessKeyId, secretAccessKey }: S3Service, name: string): Promise<Bucket> {
    const client = new S3Client({
      endpoint,
      region: REGION,
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
    await client.send(new CreateBucketCommand({ Bucket: name }));
    return new Bucket(name, client);
  }

  async read(key: string): Promise<IncomingMessage> {
    const url = await getSignedUrl(this.#client, new GetObjectCommand({ Bucket: this.name, Key: key }));
    const [response] = (await once(get(url, { agent: this.#agent }), 'response')) as [IncomingMessage];
    if (response.statusCode === 200) return response;
    response.resume();
    throw new Error(`object ${key}: ${response.statusCode}`);
  }

  /** Files only: multipart uploads that are open go with the service's folder. */
  async empty(): Promise<void> {
    for (;;) {
      const { Contents: found = [] } = await this.#client.send(new ListObjectsV2Command({ Bucket: this.name }));
      if (found.length === 0) return;
      const objects = found.map(({ Key }) => ({ Key: Key ?? '' }));
      await this.#client.send(
        new DeleteObjectsCommand({ Bucket: this.name, Delete: { Objects: objects, Quiet: true } }),
      );
    }
  }

  close(): void {
    this.#agent.destroy();
    this.#client.destroy();
  }
}

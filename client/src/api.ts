/** The server's JSON API, as far as the page uses it (`GET /api/files` and its neighbours). */

export interface StoredFile {
  id: string;
  uploadId: string;
  name: string | null;
  /** Bytes. */
  size: number;
  /** The client's word. */
  contentType: string | null;
  /** What the first bytes say. */
  detectedType: string | null;
  /** Pixels, upright; null for what is not an image, or is not processed yet. */
  width: number | null;
  height: number | null;
  /** ISO 8601, UTC. */
  createdAt: string;
  url: string;
  thumbs: { '128': string; '512': string } | null;
  /** A sentence for the user when processing failed. */
  problem: string | null;
}

export interface FilePage {
  files: StoredFile[];
  /** Cursor of the page after this one; null: this is the last. */
  next: string | null;
  /** null on every page but the first. */
  total: FileTotal | null;
}

export interface FileTotal {
  count: number;
  /** There may be more: the server counts no further. */
  atLeast: boolean;
}

/** What of the list is wanted. */
export interface FileView {
  sort: 'newest' | 'name' | 'size';
  /** Words that the name has to contain; '': every file. */
  query: string;
}

export interface ServerConfig {
  tusEndpoint: string;
  maxUploadBytes: number;
}

export const MAX_PAGE = 200;

/** The server said no, in its own words, or could not be reached (`status` 0). */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

export function readConfig(): Promise<ServerConfig> {
  return readJson<ServerConfig>('/api/config');
}

/** One page. @param limit 1 to {@link MAX_PAGE} */
export function listFiles(limit: number, cursor: string | null, { sort, query }: FileView): Promise<FilePage> {
  const parameters = new URLSearchParams({ limit: String(limit) });
  if (cursor !== null) parameters.set('cursor', cursor);
  if (sort !== 'newest') parameters.set('sort', sort);
  if (query !== '') parameters.set('q', query);
  return readJson<FilePage>(`/api/files?${parameters}`);
}

/** Where the server itself gives the bytes, also where a CDN does it for others. */
export function contentPath(fileId: string): string {
  return `/api/files/${encodeURIComponent(fileId)}/content`;
}

/** Resolves as well when the file is gone already: that is what was wanted. */
export async function deleteFile(fileId: string): Promise<void> {
  const response = await send(`/api/files/${encodeURIComponent(fileId)}`, { method: 'DELETE' });
  if (!response.ok && response.status !== 404 && response.status !== 410) throw await errorOf(response);
}

async function readJson<T>(path: string): Promise<T> {
  const response = await send(path, { headers: { Accept: 'application/json' } });
  if (!response.ok) throw await errorOf(response);
  return (await response.json()) as T;
}

async function send(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, { ...init, signal: AbortSignal.timeout(30_000) });
  } catch (error) {
    throw new ApiError(0, 'the server cannot be reached', { cause: error });
  }
}

async function errorOf(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  const told = typeof body === 'object' && body !== null && 'message' in body ? body.message : null;
  return new ApiError(response.status, typeof told === 'string' ? told : `the server answered ${response.status}`);
}

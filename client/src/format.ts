/** How values read to a person. Pure functions. */
import type { StoredFile } from './api.ts';

const UNITS = ['bytes', 'KB', 'MB', 'GB', 'TB'] as const;
const STEP = 1024;

/** `12 bytes`, `940 KB`, `2.4 MB`: in steps of 1,024, as Uppy's panel above the list counts. */
export function formatBytes(bytes: number): string {
  let [value, power] = [bytes, 0];
  while (value >= STEP && power < UNITS.length - 1) {
    value /= STEP;
    power += 1;
  }
  const digits = power === 0 || value >= 10 ? 0 : 1;
  return `${value.toLocaleString('en', { maximumFractionDigits: digits })} ${bytes === 1 ? 'byte' : UNITS[power]}`;
}

/** `45 s left`, `3 min left`, `1 h 20 min left`: as exact as such a guess can be. */
export function formatTimeLeft(seconds: number): string {
  if (seconds < 59.5) return `${Math.max(1, Math.round(seconds))} s left`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min left`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.round(hours / 24)} days left`;
  return minutes % 60 === 0 ? `${hours} h left` : `${hours} h ${minutes % 60} min left`;
}

const SPANS: readonly (readonly [unit: Intl.RelativeTimeFormatUnit, seconds: number])[] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['week', 604_800],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
];

/** `just now`, `5 minutes ago`, `yesterday`. A clock that is ahead of the server's does not read as the future. */
export function formatAge(date: Date, now: Date): string {
  const seconds = Math.max(0, (now.getTime() - date.getTime()) / 1000);
  const span = SPANS.find(([, length]) => seconds >= length);
  if (span === undefined) return 'just now';
  return new Intl.RelativeTimeFormat('en', { numeric: 'auto' }).format(-Math.floor(seconds / span[1]), span[0]);
}

/** `24 November 2026 at 08:55:12 GMT+1`, in the reader's time zone. */
export function formatMoment(date: Date): string {
  return new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeStyle: 'long' }).format(date);
}

export function nameOf(file: Pick<StoredFile, 'name'>): string {
  return file.name ?? 'Untitled file';
}

/**
 * The type to go by: what the bytes say, else what the client said. Without parameters; '' when nobody knows. The word
 * of a client that calls something a picture, or a film, is worth nothing when its bytes are none.
 */
export function typeOf(file: Pick<StoredFile, 'contentType' | 'detectedType'>): string {
  const told = /^(image\/(?!svg)|video\/)/.test(file.contentType ?? '') ? '' : file.contentType;
  return ((file.detectedType ?? told ?? '').split(';', 1)[0] ?? '').trim().toLowerCase();
}

export type TypeFamily = 'image' | 'video' | 'audio' | 'archive' | 'document' | 'text' | 'other';

export interface TypeLabel {
  family: TypeFamily;
  /** For a tile: at most five letters, `PDF`. */
  short: string;
  /** For a sentence: `PDF document`. */
  long: string;
}

const KNOWN_TYPES: Readonly<Record<string, readonly [family: TypeFamily, short: string, long: string]>> = {
  'image/jpeg': ['image', 'JPEG', 'JPEG image'],
  'image/svg+xml': ['image', 'SVG', 'SVG image'],
  'video/quicktime': ['video', 'MOV', 'QuickTime video'],
  'video/x-matroska': ['video', 'MKV', 'Matroska video'],
  'audio/mpeg': ['audio', 'MP3', 'MP3 audio'],
  'application/pdf': ['document', 'PDF', 'PDF document'],
  'application/msword': ['document', 'DOC', 'Word document'],
  'application/vnd.openxmlformats-officedocument.wordprocessingml.document': ['document', 'DOCX', 'Word document'],
  'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet': ['document', 'XLSX', 'Excel sheet'],
  'application/vnd.openxmlformats-officedocument.presentationml.presentation': ['document', 'PPTX', 'PowerPoint'],
  'application/zip': ['archive', 'ZIP', 'ZIP archive'],
  'application/gzip': ['archive', 'GZ', 'Gzip archive'],
  'application/x-gzip': ['archive', 'GZ', 'Gzip archive'],
  'application/x-tar': ['archive', 'TAR', 'Tar archive'],
  'application/x-7z-compressed': ['archive', '7Z', '7-Zip archive'],
  'application/json': ['text', 'JSON', 'JSON'],
  'text/plain': ['text', 'TXT', 'Plain text'],
  'text/csv': ['text', 'CSV', 'CSV table'],
  'text/markdown': ['text', 'MD', 'Markdown'],
};

export function labelOf(file: Pick<StoredFile, 'name' | 'contentType' | 'detectedType'>): TypeLabel {
  const type = typeOf(file);
  const known = KNOWN_TYPES[type];
  if (known !== undefined) return { family: known[0], short: known[1], long: known[2] };
  const [group = '', subtype = ''] = type.split('/');
  const extension = /\.([a-z0-9]{1,5})$/i.exec(file.name ?? '')?.[1]?.toUpperCase();
  const plain = subtype.replace(/^x-|^vnd\./, '').toUpperCase();
  const word = /^[A-Z0-9]{1,5}$/.test(plain) ? plain : undefined;
  switch (group) {
    case 'image':
    case 'video':
    case 'audio': {
      const short = word ?? extension ?? group.toUpperCase();
      return { family: group, short, long: `${short} ${group === 'image' ? 'image' : group}` };
    }
    case 'text':
      return { family: 'text', short: extension ?? word ?? 'TXT', long: `${extension ?? word ?? 'Plain'} text` };
    default:
      return {
        family: 'other',
        short: extension ?? 'FILE',
        long: extension === undefined ? 'File' : `${extension} file`,
      };
  }
}

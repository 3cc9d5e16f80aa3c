/** What `npm run uploads` found or did, for the operator to read. */
import type { UploadsReport, UploadsRequest } from '../app/operations.ts';
import type { UploadSummary } from '../catalog/operator-catalog.ts';

export function describeUploads(request: UploadsRequest, { uploads, changed, problem }: UploadsReport): string {
  if (problem !== null) return `Not done: ${problem}\n`;
  switch (request.action) {
    case 'list':
      return describeList(request.filter, uploads, request.limit);
    case 'show':
      return uploads.map(describeOne).join('\n');
    case 'end':
      return `Upload ${request.uploadId} has ended; what it has stored is removed with the next sweep.\n`;
    case 'retry':
      return `The completion of upload ${request.uploadId} is tried again within seconds.\n`;
    case 'acknowledge':
      return `Acknowledged: ${changed}\n`;
  }
}

function describeList(filter: string, uploads: readonly UploadSummary[], limit: number): string {
  if (uploads.length === 0) {
    return filter === 'attention' ? 'No upload needs attention.\n' : `There is no upload here: ${filter}.\n`;
  }
  const lines = uploads.map((upload) => {
    const { uploadId, state, offsetBytes, lengthBytes, createdAt, trouble } = upload;
    const bytes = `${offsetBytes} of ${lengthBytes ?? 'unknown'}`;
    return `${uploadId}  ${state.padEnd(10)}  ${bytes.padEnd(28)}  ${createdAt}${trouble === null ? '' : `  ${trouble}`}`;
  });
  if (uploads.length === limit) lines.push(`(the newest ${limit}; more with --limit)`);
  return `${lines.join('\n')}\n`;
}

function describeOne(upload: UploadSummary): string {
  const rows: [string, string | number | null][] = [
    ['upload', upload.uploadId],
    ['owner', upload.owner],
    ['protocol', upload.protocol],
    ['state', upload.state],
    ['stored', `${upload.offsetBytes} of ${upload.lengthBytes ?? 'unknown'} bytes`],
    ['object', upload.objectKey],
    ['created', upload.createdAt],
    ['last heard of', upload.lastSeenAt],
    ['expires', upload.state === 'open' ? upload.expiresAt : null],
    ['ended', upload.endedAt],
    ['trouble', upload.trouble === null ? null : `${upload.trouble} since ${upload.troubleSince}`],
    ['acknowledged', upload.acknowledgedAt],
  ];
  const lines = rows.filter(([, value]) => value !== null).map(([label, value]) => `${label.padEnd(15)}${value}`);
  return `${lines.join('\n')}\n`;
}

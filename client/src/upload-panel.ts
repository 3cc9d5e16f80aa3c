import Uppy, { type UppyFile } from '@uppy/core';
import Dashboard from '@uppy/dashboard';
import GoldenRetriever from '@uppy/golden-retriever';
import Tus from '@uppy/tus';
import { resumeAfterReload } from './after-reload.ts';
import type { Announce } from './announcer.ts';
import type { ServerConfig } from './api.ts';
import { formatBytes } from './format.ts';
import { takeDroppedFiles } from './page-drop.ts';
import { resumableUpload } from './resumable-upload.ts';

type Meta = Record<string, unknown>;
type Body = Record<string, never>;
type PanelFile = UppyFile<Meta, Body>;

const EMPTY_HEIGHT_PX = 256;
const BUSY_HEIGHT_PX = 372;
/** How long a file that has arrived stays in the panel with its tick, before only the list shows it. */
const TICK_MS = 1_800;

/** As long as the server keeps an upload that nobody continues, by default. */
const RESTORED_MS = 24 * 60 * 60 * 1000;
const GIB = 2 ** 30;
/**
 * Copies for a reload, kept by the browser. A file beyond them has to be chosen again, and then resumes as well. (The
 * plugin passes them on to its store; its types name other options.)
 */
const COPY_LIMITS = { maxFileSize: 4 * GIB, maxTotalSize: 8 * GIB };

export interface UploadPanel {
  /** Is this upload one of this page's own? */
  owns(uploadId: string): boolean;
}

/**
 * The place to drop files on: Uppy's Dashboard, sending with tus, finding its uploads again after a reload.
 *
 * @param slot names the uploads of this tab in the browser's storage
 * @param onStored a file has arrived whole
 */
export function openUploadPanel(
  target: HTMLElement,
  slot: string,
  config: ServerConfig,
  announce: Announce,
  onStored: () => void,
): UploadPanel {
  const uppy = new Uppy<Meta, Body>({
    id: slot,
    autoProceed: true,
    restrictions: { maxFileSize: config.maxUploadBytes },
    infoTimeout: 8_000,
    // The server may well be on the same machine or in the same house.
    locale: {
      strings: { connectedToInternet: 'Online again', noInternetConnection: 'No network connection' },
      pluralize: (count) => (count === 1 ? 0 : 1),
    },
  });
  uppy.use(Dashboard, {
    target,
    inline: true,
    width: '100%',
    height: EMPTY_HEIGHT_PX,
    theme: 'auto',
    note: `Any type, up to ${formatBytes(config.maxUploadBytes)} each`,
    proudlyDisplayPoweredByUppy: false,
    singleFileFullScreen: false,
    doneButtonHandler: null,
    locale: {
      strings: {
        dashboardTitle: 'Files to upload',
        dropPasteFiles: 'Drop files anywhere on this page %{browseFiles}',
        browseFiles: 'Choose files',
        removeFile: 'Remove %{file}',
      },
    },
  });
  // Relative addresses cannot be resolved against the endpoint that a resumed upload remembers.
  uppy.use(Tus, resumableUpload(new URL(config.tusEndpoint, location.href).href));
  uppy.use(GoldenRetriever, { expires: RESTORED_MS, indexedDB: COPY_LIMITS as object });

  takeDroppedFiles((files) => addFiles(uppy, files));
  resumeAfterReload(uppy);
  retryWhenOnline(uppy);
  followOutcomes(uppy, announce, onStored);
  followHeight(uppy);
  followTitle(uppy);
  return { owns: (uploadId) => uppy.getFiles().some((file) => uploadIdOf(file) === uploadId) };
}

function addFiles(uppy: Uppy<Meta, Body>, files: readonly File[]): void {
  try {
    uppy.addFiles(files.map((file) => ({ source: 'page', name: file.name, type: file.type, data: file })));
  } catch {
    // Uppy has shown the reason already.
  }
}

/** With a way to the server again, what failed for the lack of one is tried again. */
function retryWhenOnline(uppy: Uppy<Meta, Body>): void {
  window.addEventListener('online', () => {
    if (uppy.getFiles().some((file) => file.error)) void uppy.retryAll();
  });
}

function followOutcomes(uppy: Uppy<Meta, Body>, announce: Announce, onStored: () => void): void {
  uppy.on('upload-success', (file) => {
    if (file === undefined) return;
    announce(`${file.name} uploaded`);
    onStored();
    setTimeout(() => {
      if (uppy.getFile(file.id)?.progress.uploadComplete) uppy.removeFile(file.id);
    }, TICK_MS);
  });
  uppy.on('upload-error', (file) => {
    if (file !== undefined) announce(`${file.name} could not be uploaded`);
  });
  uppy.on('restriction-failed', (file, error) => announce(`${file?.name ?? 'The file'}: ${error.message}`));
}

/** Low while it is a mere target, higher as soon as there is something to see. */
function followHeight(uppy: Uppy<Meta, Body>): void {
  const fit = () => {
    const height = uppy.getFiles().length === 0 ? EMPTY_HEIGHT_PX : BUSY_HEIGHT_PX;
    const dashboard = uppy.getPlugin('Dashboard');
    if (dashboard !== undefined && dashboard.opts.height !== height) dashboard.setOptions({ height });
  };
  uppy.on('files-added', fit);
  uppy.on('file-removed', fit);
  uppy.on('restored', fit);
  uppy.on('cancel-all', fit);
}

/** The progress in the tab's title, for whoever has gone to another tab meanwhile. */
function followTitle(uppy: Uppy<Meta, Body>): void {
  const name = document.title;
  uppy.on('progress', (percent) => {
    document.title = percent > 0 && percent < 100 ? `${percent} % · ${name}` : name;
  });
  uppy.on('cancel-all', () => {
    document.title = name;
  });
}

/** The last segment of the upload's address. */
function uploadIdOf(file: PanelFile): string | undefined {
  return file.tus?.uploadUrl?.split('/').at(-1);
}

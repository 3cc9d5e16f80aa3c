import Uppy from '@uppy/core';
import Dashboard from '@uppy/dashboard';
import GoldenRetriever from '@uppy/golden-retriever';
import Tus from '@uppy/tus';
import type { Announce } from './announcer.ts';
import type { ServerConfig } from './api.ts';
import { el } from './dom.ts';
import { formatBytes } from './format.ts';
import { takeDroppedFiles } from './page-drop.ts';
import { resumableUpload } from './resumable-upload.ts';
import { resumeAfterReload } from './uploads/after-reload.ts';
import { UploadCards } from './uploads/upload-cards.ts';
import { type Body, type Meta, Uploads } from './uploads/uploads.ts';

/** How long a file that has arrived stays in the panel, before only the list shows it. */
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
  /** Is this upload one of this page's own, or was it? */
  owns(uploadId: string): boolean;
}

/**
 * The place to drop files on, and the uploads that are under way: Uppy's Dashboard takes the files, tus sends them,
 * and Golden Retriever finds them again after a reload. How each is doing is shown by cards of our own. The panel keeps
 * its height whatever happens in it, so that nothing below it moves.
 *
 * @param slot names the uploads of this tab in the browser's storage
 * @param onStored a file has arrived whole
 */
export function openUploadPanel(
  panel: HTMLElement,
  slot: string,
  config: ServerConfig,
  announce: Announce,
  onStored: () => void,
): UploadPanel {
  const uppy = new Uppy<Meta, Body>({
    id: slot,
    autoProceed: false, // it would try again what was refused, with every file that is added
    restrictions: { maxFileSize: config.maxUploadBytes },
  });
  const target = el('div', { class: 'upload-target' });
  const uploads = new Uploads(uppy, config.maxUploadBytes, (name, reason) => announce(`${name}: ${reason}`));
  const cards = new UploadCards(uploads, () => target.querySelector<HTMLElement>('.uppy-Dashboard-browse')?.focus());
  panel.append(target, cards.element);

  openDashboard(uppy, target, config.maxUploadBytes);
  // Relative addresses cannot be resolved against the endpoint that a resumed upload remembers.
  uppy.use(Tus, resumableUpload(new URL(config.tusEndpoint, location.href).href, uploads));
  uppy.use(GoldenRetriever, { expires: RESTORED_MS, indexedDB: COPY_LIMITS as object });

  takeDroppedFiles((files) => uploads.add(files));
  resumeAfterReload(uppy, uploads.start);
  window.addEventListener('online', () => uploads.retryUnanswered());
  uppy.on('state-update', () => cards.drawSoon());
  uppy.on('restriction-failed', () => cards.drawSoon());
  uppy.on('upload-success', (file) => {
    if (file === undefined) return;
    announce(`${file.name} uploaded`);
    onStored();
    setTimeout(() => {
      if (uppy.getFile(file.id)?.progress.uploadComplete) uppy.removeFile(file.id);
    }, TICK_MS);
  });
  followTitle(uppy);
  return { owns: (uploadId) => uploads.owns(uploadId) };
}

/** Only to take files: what becomes of them is shown by our cards. */
function openDashboard(uppy: Uppy<Meta, Body>, target: HTMLElement, maxBytes: number): void {
  const canDrop = window.matchMedia('(hover: hover) and (pointer: fine)');
  const strings = () => ({
    strings: {
      dashboardTitle: 'Files to upload',
      dropPasteFiles: canDrop.matches ? 'Drop files anywhere on this page %{browseFiles}' : '%{browseFiles}',
      browseFiles: 'Choose files',
    },
  });
  uppy.use(Dashboard, {
    target,
    inline: true,
    width: '100%',
    height: '100%',
    theme: 'auto',
    note: `Any type, up to ${formatBytes(maxBytes)} each`,
    proudlyDisplayPoweredByUppy: false,
    showSelectedFiles: false,
    disableStatusBar: true,
    disableInformer: true,
    disableThumbnailGenerator: true,
    locale: strings(),
  });
  canDrop.addEventListener('change', () => uppy.getPlugin('Dashboard')?.setOptions({ locale: strings() }));
}

/** The progress in the tab's title, for whoever has gone to another tab meanwhile. */
function followTitle(uppy: Uppy<Meta, Body>): void {
  const name = document.title;
  const show = (percent: number) => {
    const isBusy = percent > 0 && percent < 100 && uppy.getFiles().length > 0;
    document.title = isBusy ? `${percent} % · ${name}` : name;
  };
  uppy.on('progress', show);
  uppy.on('file-removed', () => show(uppy.getState().totalProgress));
}

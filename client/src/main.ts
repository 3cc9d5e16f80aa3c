import '@fontsource-variable/instrument-sans/wght.css';
import './styles/theme.css';
import './styles/page.css';
import './styles/files.css';
import './styles/file-tools.css';
import './styles/preview.css';
import './styles/uppy.css';
import './styles/uploads.css';
import { announceIn } from './announcer.ts';
import { listFiles, readConfig, type ServerConfig } from './api.ts';
import { Arrivals } from './arrivals.ts';
import { connectionBadge } from './connection-badge.ts';
import { byId } from './dom.ts';
import { FileList } from './files/file-list.ts';
import { FileStore } from './files/file-store.ts';
import { nameOf } from './format.ts';
import { LiveEvents } from './live-events.ts';
import { openUploadPanel, type UploadPanel } from './upload-panel.ts';
import { takeUploadSlot } from './upload-slot.ts';

const CONFIG_RETRY_MS = 2_000;

const announce = announceIn(byId('announcer'));
const arrivals = new Arrivals(byId('arrivals'));
const showConnection = connectionBadge(byId('connection'), byId('connection-text'), announce);
const store = new FileStore(listFiles, () => list.draw());
const list = new FileList(byId('file-list'), byId('files-heading'), byId('files-count'), store, announce);
let panel: UploadPanel | null = null;

const live = new LiveEvents('/api/events', {
  onConnected: () => {
    arrivals.clear();
    void store.refresh();
  },
  onState: showConnection,
  onFile: (file, event) => {
    if (event === 'finished' && !store.has(file.id) && !panel?.owns(file.uploadId)) announce(`${nameOf(file)} arrived`);
    arrivals.ended(file.uploadId);
    store.put(file);
  },
  onDeleted: (fileId) => {
    arrivals.ended(fileId);
    store.remove(fileId);
  },
  onEnded: (uploadId) => arrivals.ended(uploadId),
  onProgress: (uploadId, offset, length) => {
    if (panel !== null && !panel.owns(uploadId) && !store.has(uploadId)) arrivals.progress(uploadId, offset, length);
  },
});

list.draw();
live.start();
void store.refresh();
void openPanel();

async function openPanel(): Promise<void> {
  const [slot, config] = await Promise.all([takeUploadSlot(), readConfigPatiently()]);
  const target = byId('upload-panel');
  target.replaceChildren();
  panel = openUploadPanel(target, slot, config, announce, () => {
    // The event tells of it; without a live connection nobody does.
    if (live.state !== 'live') void store.refresh();
  });
}

async function readConfigPatiently(): Promise<ServerConfig> {
  for (;;) {
    try {
      return await readConfig();
    } catch {
      byId('upload-waiting').textContent = 'The server cannot be reached; trying again …';
      await new Promise((resolve) => setTimeout(resolve, CONFIG_RETRY_MS));
    }
  }
}

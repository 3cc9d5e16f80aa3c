import type { TestContext } from 'node:test';

/** An event as `GET /api/events` tells it. */
export interface HeardEvent {
  type: string;
  data: Record<string, unknown>;
}

/** Somebody who listens to a server's live events, from the moment this resolves. */
export async function readEvents(t: TestContext, url: string): Promise<HeardEvent[]> {
  const leaving = new AbortController();
  t.after(() => leaving.abort());
  const response = await fetch(`${url}/api/events`, { signal: leaving.signal });
  const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
  await reader.read(); // `retry:`, sent when the reader is known
  const heard: HeardEvent[] = [];
  void (async () => {
    for (let text = ''; ; ) {
      const { done, value } = await reader.read().catch(() => ({ done: true, value: '' }));
      if (done) return;
      const frames = (text + value).split('\n\n');
      text = frames.pop() ?? '';
      for (const frame of frames) {
        const [, type, data] = /^event: (\w+)\ndata: (.*)$/.exec(frame) ?? [];
        if (type !== undefined && data !== undefined) heard.push({ type, data: JSON.parse(data) });
      }
    }
  })();
  return heard;
}

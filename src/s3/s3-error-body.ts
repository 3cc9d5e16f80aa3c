/**
 * Code and message of S3's XML error document. Both are flat text elements, so a full parser would only add cost and
 * a way to be surprised; anything else (a proxy's HTML page, nothing at all) has no code.
 */
export function parseErrorBody(text: string): { code: string | null; message: string } {
  if (!text.includes('<Error')) return { code: null, message: '' };
  const code = /<Code>\s*([\w.-]{1,100})\s*<\/Code>/.exec(text)?.[1] ?? null;
  const message = /<Message>([^<]{0,1000})/.exec(text)?.[1] ?? '';
  return { code, message: decodeEntities(message).trim() };
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };

function decodeEntities(text: string): string {
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => ENTITIES[name] ?? '');
}

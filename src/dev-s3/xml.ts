/** As much XML as S3 speaks: elements with text. No attributes, namespaces or document types are looked at. */
import { DevS3Error } from './dev-s3-errors.ts';

const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

/** What an element holds: text, elements, or (left out) nothing at all. */
export type XmlContent = string | number | boolean | null | undefined | XmlChildren | readonly XmlContent[];
export interface XmlChildren {
  readonly [name: string]: XmlContent;
}

/** A document in S3's namespace. An array stands for an element that comes several times; null and undefined for none. */
export function writeXml(root: string, children: XmlChildren): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="${NAMESPACE}">${writeChildren(children)}</${root}>`;
}

/** A document that is one element with text. */
export function writeXmlText(root: string, text: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="${NAMESPACE}">${escapeText(text)}</${root}>`;
}

/** S3's error document, which has no namespace. */
export function writeErrorXml(children: XmlChildren): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${writeChildren(children)}</Error>`;
}

function writeChildren(children: XmlChildren): string {
  let xml = '';
  for (const name in children) xml += writeElement(name, children[name]);
  return xml;
}

function writeElement(name: string, content: XmlContent): string {
  if (content === null || content === undefined) return '';
  if (isList(content)) return content.map((item) => writeElement(name, item)).join('');
  const inner = typeof content === 'object' ? writeChildren(content) : escapeText(String(content));
  return `<${name}>${inner}</${name}>`;
}

/** `Array.isArray` does not recognise a read-only array as such. */
function isList(content: XmlContent): content is readonly XmlContent[] {
  return Array.isArray(content);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: keys may hold them; S3 writes them as references too
const SPECIAL = /[&<>"'\u0000-\u001f\u007f\ufffe\uffff]/g;

function escapeText(text: string): string {
  return text.replace(SPECIAL, (char) => {
    const name = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": 'apos' }[char];
    return name === undefined ? `&#x${char.charCodeAt(0).toString(16)};` : `&${name};`;
  });
}

/** An element that was read. */
export interface XmlElement {
  name: string;
  /** The text in it, unescaped, blanks and all. */
  text: string;
  children: XmlElement[];
}

const TOKEN = /<!\[CDATA\[([\s\S]*?)\]\]>|<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<(\/?)([\w.:-]+)(?:\s[^<>]*?)?(\/?)>|([^<]+)/y;
const MAX_DEPTH = 16;

/**
 * @returns the document's root element
 * @throws DevS3Error MalformedXML
 */
export function readXml(document: string): XmlElement {
  const top: XmlElement = { name: '', text: '', children: [] };
  const open = [top];
  const token = new RegExp(TOKEN); // of our own: a sticky expression has state
  while (token.lastIndex < document.length) {
    const [whole, cdata, closing, prefixedName, selfClosing, text] = token.exec(document) ?? [];
    const current = open.at(-1);
    if (whole === undefined || current === undefined) throw new DevS3Error('MalformedXML');
    if (cdata !== undefined) current.text += cdata;
    else if (text !== undefined) current.text += unescapeText(text);
    else if (prefixedName !== undefined) {
      const name = prefixedName.replace(/^.*:/, '');
      if (closing === '/') {
        if (current.name !== name || open.length === 1) throw new DevS3Error('MalformedXML');
        open.pop();
      } else {
        const element: XmlElement = { name, text: '', children: [] };
        current.children.push(element);
        if (selfClosing !== '/') open.push(element);
        if (open.length > MAX_DEPTH) throw new DevS3Error('MalformedXML');
      }
    }
  }
  const root = top.children[0];
  if (open.length !== 1 || root === undefined || top.children.length !== 1 || top.text.trim() !== '') {
    throw new DevS3Error('MalformedXML');
  }
  return root;
}

const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function unescapeText(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(\w+));|&/gi, (_whole, hex, decimal, name) => {
    if (name !== undefined && NAMED[name] !== undefined) return NAMED[name];
    const code = hex !== undefined ? Number.parseInt(hex, 16) : Number(decimal);
    if (!(code <= 0x10ffff)) throw new DevS3Error('MalformedXML');
    return String.fromCodePoint(code);
  });
}

/** Text of the first child of that name; null when there is none. */
export function childText(element: XmlElement, name: string): string | null {
  return element.children.find((child) => child.name === name)?.text ?? null;
}

export function childrenNamed(element: XmlElement, name: string): XmlElement[] {
  return element.children.filter((child) => child.name === name);
}

/** Cross-origin requests of browsers: which a bucket allows, and the headers that say so. */
import { DevS3Error } from './dev-s3-errors.ts';
import { childrenNamed, childText, readXml, type XmlChildren } from './xml.ts';

export interface CorsRule {
  id: string | null;
  /** Each with at most one `*`. */
  allowedOrigins: readonly string[];
  allowedMethods: readonly string[];
  /** Each with at most one `*`. */
  allowedHeaders: readonly string[];
  exposeHeaders: readonly string[];
  maxAgeSecs: number | null;
}

/** What a request of a browser asks for. */
export interface CrossOrigin {
  origin: string;
  method: string;
  /** Of a preflight: the headers that it wants to send. */
  headers: readonly string[];
}

const METHODS = ['GET', 'PUT', 'POST', 'DELETE', 'HEAD'];
const MAX_RULES = 100;

/** While no rules were put: a page on any origin may upload. Real S3 allows none; this is a development server. */
const DEFAULT_RULES: readonly CorsRule[] = [
  {
    id: null,
    allowedOrigins: ['*'],
    allowedMethods: METHODS,
    allowedHeaders: ['*'],
    exposeHeaders: ['ETag', 'Content-Range', 'Accept-Ranges', 'x-amz-request-id', 'x-amz-version-id'],
    maxAgeSecs: 3_600,
  },
];

/** @returns the headers of the answer; null when no rule allows the request */
export function corsHeaders(rules: readonly CorsRule[] | null, request: CrossOrigin): Record<string, string> | null {
  const rule = (rules ?? DEFAULT_RULES).find((it) => allows(it, request));
  if (rule === undefined) return null;
  const headers: Record<string, string> = {
    'access-control-allow-origin': rule.allowedOrigins.includes('*') ? '*' : request.origin,
    'access-control-allow-methods': rule.allowedMethods.join(', '),
    vary: 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method',
  };
  if (headers['access-control-allow-origin'] !== '*') headers['access-control-allow-credentials'] = 'true';
  if (request.headers.length > 0) headers['access-control-allow-headers'] = request.headers.join(', ');
  if (rule.exposeHeaders.length > 0) headers['access-control-expose-headers'] = rule.exposeHeaders.join(', ');
  if (rule.maxAgeSecs !== null) headers['access-control-max-age'] = String(rule.maxAgeSecs);
  return headers;
}

/** @throws DevS3Error MalformedXML, InvalidRequest */
export function readCorsXml(document: string): CorsRule[] {
  const root = readXml(document);
  const rules = childrenNamed(root, 'CORSRule').map((element): CorsRule => {
    const texts = (name: string) => childrenNamed(element, name).map((child) => child.text.trim());
    const maxAge = childText(element, 'MaxAgeSeconds');
    return {
      id: childText(element, 'ID'),
      allowedOrigins: texts('AllowedOrigin'),
      allowedMethods: texts('AllowedMethod'),
      allowedHeaders: texts('AllowedHeader'),
      exposeHeaders: texts('ExposeHeader'),
      maxAgeSecs: maxAge === null ? null : Number(maxAge),
    };
  });
  if (root.name !== 'CORSConfiguration' || rules.length === 0 || rules.length > MAX_RULES) {
    throw new DevS3Error('MalformedXML');
  }
  for (const rule of rules) checkRule(rule);
  return rules;
}

export function corsXml(rules: readonly CorsRule[]): XmlChildren {
  return {
    CORSRule: rules.map((rule) => ({
      ID: rule.id,
      AllowedMethod: rule.allowedMethods,
      AllowedOrigin: rule.allowedOrigins,
      AllowedHeader: rule.allowedHeaders,
      ExposeHeader: rule.exposeHeaders,
      MaxAgeSeconds: rule.maxAgeSecs,
    })),
  };
}

function checkRule(rule: CorsRule): void {
  if (rule.allowedOrigins.length === 0 || rule.allowedMethods.length === 0) throw new DevS3Error('MalformedXML');
  if (rule.maxAgeSecs !== null && !Number.isSafeInteger(rule.maxAgeSecs)) throw new DevS3Error('MalformedXML');
  const method = rule.allowedMethods.find((it) => !METHODS.includes(it));
  if (method !== undefined) {
    throw new DevS3Error(
      'InvalidRequest',
      `Found unsupported HTTP method in CORS config. Unsupported method is ${method}`,
    );
  }
  const pattern = [...rule.allowedOrigins, ...rule.allowedHeaders].find((it) => it.split('*').length > 2);
  if (pattern !== undefined) {
    throw new DevS3Error('InvalidRequest', `"${pattern}" can not have more than one wildcard.`);
  }
}

function allows(rule: CorsRule, { origin, method, headers }: CrossOrigin): boolean {
  return (
    rule.allowedMethods.includes(method) &&
    rule.allowedOrigins.some((pattern) => fits(pattern, origin)) &&
    headers.every((name) => rule.allowedHeaders.some((pattern) => fits(pattern.toLowerCase(), name.toLowerCase())))
  );
}

function fits(pattern: string, text: string): boolean {
  const star = pattern.indexOf('*');
  if (star === -1) return pattern === text;
  const [before, after] = [pattern.slice(0, star), pattern.slice(star + 1)];
  return text.length >= before.length + after.length && text.startsWith(before) && text.endsWith(after);
}

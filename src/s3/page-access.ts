/**
 * A browser's question before it uploads from a page of another origin: may I PUT to this (presigned) URL?
 *
 * @returns whether the answer lets the page in
 */
export async function letsPageIn(url: string, origin: string): Promise<boolean> {
  const answer = await fetch(url, {
    method: 'OPTIONS',
    headers: {
      Origin: origin,
      'Access-Control-Request-Method': 'PUT',
      'Access-Control-Request-Headers': 'content-type',
    },
  });
  await answer.arrayBuffer();
  const allowed = answer.headers.get('access-control-allow-origin');
  return answer.ok && (allowed === '*' || allowed === origin);
}

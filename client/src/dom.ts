/** Building elements. Text only ever becomes text nodes: file names are written by strangers. */

type Child = Node | string | null;
type Attributes = Readonly<Record<string, string | number | boolean | null | undefined>>;

const SVG_NAMESPACE = 'http://www.w3.org/2000/svg';

/** @param attributes null, undefined and false leave the attribute out; true sets it empty */
export function el<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  for (const child of children) if (child !== null) element.append(child);
  return element;
}

/** A line icon, 20 × 20, in the colour of the text around it; hidden from assistive technology. */
export function icon(paths: string): SVGSVGElement {
  const svg = document.createElementNS(SVG_NAMESPACE, 'svg');
  setAttributes(svg, { class: 'icon', viewBox: '0 0 20 20', 'aria-hidden': 'true', focusable: 'false' });
  const path = document.createElementNS(SVG_NAMESPACE, 'path');
  path.setAttribute('d', paths);
  svg.append(path);
  return svg;
}

/** @throws Error when the page has no such element: its HTML and its code do not belong together */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element;
}

function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
}

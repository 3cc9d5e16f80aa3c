import assert from 'node:assert/strict';
import type { Locator, Page } from 'playwright-core';

/** Smaller is hard to hit with a finger, and a fault by WCAG 2.2 (2.5.8). CSS pixels. */
const LEAST_TARGET_PX = 24;

/** Where it begins on the page, however far that is scrolled, in CSS pixels. */
export function topOf(locator: Locator): Promise<number> {
  return locator.evaluate((element) => {
    const { scrollY } = globalThis as unknown as { scrollY: number };
    return (element as unknown as Boxed).getBoundingClientRect().top + scrollY;
  });
}

interface Boxed {
  getBoundingClientRect(): { top: number };
}

/** Where it begins in the window. */
export async function topInSight(locator: Locator): Promise<number> {
  const box = await locator.boundingBox();
  assert.ok(box !== null, 'it is shown');
  return box.y;
}

/** Every control that is shown can be hit with a finger. */
export async function assertTargets(page: Page, state: string): Promise<void> {
  const controls = (await page.evaluate(`[...document.querySelectorAll('a, button, input, select, label, summary')]
    .filter((element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
    .filter((element) => !element.closest('.visually-hidden, .skip-link, [inert]'))
    // What lies in its label is hit with it.
    .filter((element) => element.tagName === 'LABEL' || element.closest('label') === null)
    .map((element) => {
      const { width, height } = element.getBoundingClientRect();
      return { name: element.getAttribute('aria-label') ?? element.textContent, width, height };
    })
    .filter(({ width, height }) => width > 0 && height > 0)`)) as { name: string; width: number; height: number }[];
  assert.ok(controls.length > 0, `there are controls (${state})`);
  const small = controls.filter(({ width, height }) => Math.min(width, height) < LEAST_TARGET_PX);
  assert.deepEqual(small, [], state);
}

export function sidewaysScroll(page: Page): Promise<unknown> {
  return page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
}

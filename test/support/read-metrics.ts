/** Prometheus' text, as a test reads it. */
export class Scrape {
  readonly #values: ReadonlyMap<string, number>;
  readonly text: string;

  constructor(text: string) {
    this.text = text;
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    this.#values = new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
  }

  /** @param series with its labels, as it is written: `name{label="value"}` @returns undefined when there is none */
  find(series: string): number | undefined {
    return this.#values.get(series);
  }

  /** Of all series with this name. */
  sum(name: string): number {
    const found = [...this.#values].filter(([series]) => series === name || series.startsWith(`${name}{`));
    return found.reduce((sum, [, value]) => sum + value, 0);
  }

  get series(): string[] {
    return [...this.#values.keys()];
  }
}

/** @throws Error when the server refuses */
export async function scrape(baseUrl: string, headers: Record<string, string> = {}): Promise<Scrape> {
  const response = await fetch(`${baseUrl}/metrics`, { headers });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status}: ${text}`);
  return new Scrape(text);
}

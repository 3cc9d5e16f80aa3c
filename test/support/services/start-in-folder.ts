import type { ChildService } from './child-service.ts';
import { onFreePort } from './free-port.ts';
import type { TempFolder } from './temp-folder.ts';

export interface PlacedService {
  readonly port: number;
  readonly service: ChildService;
  /** For good, with all its files. Safe to call twice. */
  stop(): Promise<void>;
}

/** A server on a port of its own, with a folder that goes with it, also when it does not start. */
export async function startInFolder(
  folder: TempFolder,
  launch: (port: number) => Promise<ChildService>,
): Promise<PlacedService> {
  let port = 0;
  try {
    const service = await onFreePort((free) => {
      port = free;
      return launch(free);
    });
    return {
      port,
      service,
      stop: async () => {
        await service.stop();
        await folder.remove();
      },
    };
  } catch (error) {
    await folder.remove();
    throw error;
  }
}

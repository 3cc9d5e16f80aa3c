export type GoTool = 'minio' | 'versitygw' | 'tusd';

/** @returns the path of a binary that is there, else null; builds nothing */
export function findGoTool(name: GoTool): string | null;

/** @returns the path of the binary; null when it is not there and Go is not either, or the build failed (told on stderr) */
export function goTool(name: GoTool): Promise<string | null>;

// A script beside a module, as Node starts it in a process of its own: by tsx where the module runs from its source, as
// in a test, and by itself where it is compiled.
import { fileURLToPath } from 'node:url';

export interface Script {
  readonly path: string;
  /** Arguments of Node before the path. */
  readonly execArgv: readonly string[];
}

/** @param name without its extension @param module the URL of the module */
export function scriptBeside(name: string, module: string): Script {
  const isSource = module.endsWith('.ts');
  const path = fileURLToPath(new URL(`./${name}${isSource ? '.ts' : '.js'}`, module));
  return { path, execArgv: isSource ? ['--import', 'tsx'] : [] };
}

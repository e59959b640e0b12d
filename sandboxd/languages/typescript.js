// Loaded before the program: holds Node, already started, until the program is there and
// the checker beside it has compiled it. What follows is Node's own way of running a file;
// its traces name the lines of the TypeScript. It is loaded in worker threads and in the
// Nodes that a program forks too, which find what was compiled in a file.
'use strict';
{
  const fs = require('fs');
  const Module = require('module');
  const { fileURLToPath } = require('url');
  const { isMainThread } = require('worker_threads');
  const resolving = require('internal/modules/esm/resolve'); // the first, as Node does
  const loading = require('internal/modules/esm/load');
  const formats = require('internal/modules/esm/formats');
  const reader = require('internal/modules/package_json_reader');
  const FOLDER = '/sandbox';
  const MESSAGE = 3;
  const NOTE = 4;
  const CHECKER = ['/tmp/checker.in', '/tmp/checker.out'];
  const COMPILED = '/tmp/main.json';
  const AGAIN = 'SANDBOXD_AGAIN'; // set where a variable counts at the start of Node alone

  const receive = () => {
    const input = fs.openSync(CHECKER[0], 'w');
    const output = fs.openSync(CHECKER[1], 'r');
    CHECKER.forEach((path) => fs.unlinkSync(path));
    fs.readSync(output, Buffer.alloc(1)); // it is up

    fs.writeSync(NOTE, '\n');
    const [count, ...fields] = fs.readFileSync(MESSAGE, 'utf8').split('\0').slice(0, -1);
    fs.closeSync(MESSAGE);
    fs.closeSync(input); // this the checker waits for
    process.argv.push(...fields.splice(0, Number(count)));
    for (const pair of fields) {
      const [, name, value] = /^([^=]*)=([^]*)$/.exec(pair);
      process.env[name] = value;
    }

    const answer = fs.readFileSync(output, 'utf8');
    fs.closeSync(output);
    const { errors } = answer
      ? JSON.parse(answer)
      : { errors: ['the compiler was ended before it was done'] };
    if (errors.length) {
      fs.writeSync(2, errors.join('\n') + '\n');
      fs.writeSync(NOTE, 'compile\n');
      process.exit(1);
    }
    fs.closeSync(NOTE);
    fs.writeFileSync(COMPILED, answer);
  };

  const startAgain = () => {
    const { spawnSync } = require('child_process');
    const command = [...process.execArgv, ...process.argv.slice(1)];
    const { status, signal } = spawnSync(process.execPath, command, { stdio: 'inherit' });
    if (signal) process.kill(process.pid, signal);
    process.exit(status);
  };

  // What a specifier may stand for, as for the compiler: `./x.js` for x.ts, and where Node
  // leaves out no endings, `./x` and a folder.
  const sources = (specifier) => [specifier.replace(/\.([cm]?)js$/, '.$1ts')]
    .filter((source) => source !== specifier);
  const abbreviated = (specifier) => (/^(\.|file:)/.test(specifier)
    ? ['.ts', '.js', '.json', '/index.ts', '/index.js'].map((end) => specifier + end)
    : []);

  // A loader of this file's would be in every trace: Node's own are given other answers.
  const loadScripts = (files) => {
    const { readFileSync } = fs;
    const findPath = Module._findPath;
    fs.readFileSync = (path, ...rest) => {
      const isLoader = Object.hasOwn(files, path)
        && /^.*\n.*\(node:internal\/modules\/cjs\/loader/.test(stackOf(fs.readFileSync));
      return isLoader ? files[path] : readFileSync(path, ...rest);
    };
    Module._findPath = (request, ...rest) => {
      const found = findPath(request, ...rest);
      return found || sources(request).map((source) => findPath(source, ...rest)).find(Boolean) || false;
    };
    for (const ending of ['.ts', '.cts', '.mts']) require.extensions[ending] = require.extensions['.js'];
  };

  const stackOf = (below) => {
    const holder = {};
    Error.captureStackTrace(holder, below);
    return holder.stack;
  };

  const loadModules = (files, isModule) => {
    const { defaultLoad } = loading;
    const { defaultResolve } = resolving;
    const format = isModule ? 'module' : 'commonjs';
    Object.assign(formats.extensionFormatMap, { '.ts': format, '.mts': 'module', '.cts': 'commonjs' });
    loading.defaultLoad = async (url, context) => {
      const path = url.startsWith('file:') && fileURLToPath(url);
      if (!isModule || !Object.hasOwn(files, path)) return defaultLoad(url, context);
      const source = path.endsWith('.json') ? `export default ${files[path]}` : files[path];
      return { format, responseURL: url, source };
    };
    resolving.defaultResolve = (specifier, context) => {
      try {
        return defaultResolve(specifier, context);
      } catch (error) {
        for (const source of [...sources(specifier), ...abbreviated(specifier)]) {
          try {
            return defaultResolve(source, context);
          } catch {
            // The error for what the program asked for says more.
          }
        }
        throw error;
      }
    };
    // The first that asks does so for the main file, and takes a module to the other loader.
    const { readPackageScope } = reader;
    reader.readPackageScope = (file) => {
      reader.readPackageScope = readPackageScope;
      return { data: { type: format } };
    };
  };

  // Stdin stays open for as long as somebody may type. Once the program has paused it, it
  // waits for nothing more, and Node ends as it would at a terminal.
  const letStdinGo = () => {
    const { get } = Object.getOwnPropertyDescriptor(process, 'stdin');
    let stdin;
    const open = () => {
      stdin = get.call(process);
      stdin.on('pause', () => stdin._handle?.unref());
      stdin.on('resume', () => stdin._handle?.ref());
      stdin.on('newListener', (event) => event === 'readable' && stdin._handle?.ref());
      return stdin;
    };
    Object.defineProperty(process, 'stdin', {
      configurable: true, enumerable: true, get: () => stdin ?? open(),
    });
  };

  if (fs.existsSync(CHECKER[0])) {
    receive();
    process.chdir(FOLDER);
    if (process.env[AGAIN] !== undefined) startAgain();
  }
  delete process.env[AGAIN];
  const { files, isModule } = JSON.parse(fs.readFileSync(COMPILED, 'utf8'));
  loadScripts(files);
  loadModules(files, isModule);
  if (isMainThread) letStdinGo();
  process.setSourceMapsEnabled(true);

  Module.builtinModules = Module.builtinModules.filter((name) => !name.startsWith('internal/'));
  delete require.cache[__filename];
  delete process._preload_modules;
}

// Loaded before the program: holds Node, already started, until the program is there.
// What follows is Node's own way of running a file, so traces show nothing of this one.
// It is loaded in worker threads too, and by a Node that is started again.
'use strict';
{
  const fs = require('fs');
  const Module = require('module');
  const { fileURLToPath, pathToFileURL } = require('url');
  const { compileFunction } = require('vm');
  const { isMainThread } = require('worker_threads');
  const packages = require('internal/modules/esm/package_config');
  const reader = require('internal/modules/package_json_reader');
  const FOLDER = '/sandbox';
  const PROGRAM = `${FOLDER}/main.js`;
  const MESSAGE = 3;
  const NOTE = 4;
  const AGAIN = 'SANDBOXD_AGAIN'; // set where a variable counts at the start of Node alone
  const SESSION = 'SANDBOXD_SESSION'; // set for a driver of sessions, which goes on with its notes

  // What every program goes through, while nobody waits for it: an empty module is
  // loaded, and nothing is printed.
  const rehearse = () => {
    compileFunction('');
    packages.getPackageScopeConfig(pathToFileURL(__filename));
    require('/dev/null');
    delete require.cache['/dev/null'];
    for (const stream of [process.stdout, process.stderr]) {
      stream.write('');
      // It has made the pipe one that does not block, also for `fs` and child processes.
      stream._handle?.setBlocking(true);
    }
    const { Writable } = require('stream');
    new console.Console(new Writable({ write: (chunk, encoding, done) => done() })).log('');
    process._tickCallback(); // what that has left to be done would be in the program's traces
  };

  const receive = () => {
    fs.writeSync(NOTE, '\n');
    const [count, ...fields] = fs.readFileSync(MESSAGE, 'utf8').split('\0').slice(0, -1);
    fs.closeSync(MESSAGE);
    process.argv.push(...fields.splice(0, Number(count)));
    for (const pair of fields) {
      const [, name, value] = /^([^=]*)=([^]*)$/.exec(pair);
      process.env[name] = value;
    }
    if (process.env[SESSION] === undefined) fs.closeSync(NOTE);
  };

  const startAgain = () => {
    const { spawnSync } = require('child_process');
    const command = [...process.execArgv, ...process.argv.slice(1)];
    const note = process.env[SESSION] === undefined ? 'ignore' : NOTE;
    const stdio = ['inherit', 'inherit', 'inherit', 'ignore', note];
    const { status, signal } = spawnSync(process.execPath, command, { stdio });
    if (signal) process.kill(process.pid, signal);
    process.exit(status);
  };

  // A `.js` file of which no package.json tells what it is, is looked into, as newer Nodes
  // do by themselves: a module does not compile as a script, for a reason that says so, or
  // it does as the body of an async function.
  const AsyncFunction = (async () => {}).constructor;
  const SAYS_SO = /import statement outside a module|token 'export'|'import\.meta' outside/;
  const isModule = (url) => {
    const file = String(url).endsWith('.js') && fileURLToPath(url);
    if (!file || !fs.existsSync(file)) return false;
    const code = fs.readFileSync(file, 'utf8');
    const ways = [
      () => compileFunction(code, ['exports', 'require', 'module', '__filename', '__dirname']) && false,
      () => new AsyncFunction(code.replace(/^#!.*/, '')) && true,
    ];
    for (const compiles of ways) {
      try {
        return compiles();
      } catch (error) {
        if (SAYS_SO.test(error.message)) return true;
      }
    }
    return false;
  };

  const findModules = () => {
    const { getPackageScopeConfig } = packages;
    const { readPackageScope } = reader;
    packages.getPackageScopeConfig = (url) => {
      const found = getPackageScopeConfig(url);
      return found.type === 'none' && isModule(url) ? { ...found, type: 'module' } : found;
    };
    // The first that asks does so for the main file, and takes a module to the other loader.
    reader.readPackageScope = (file) => {
      reader.readPackageScope = readPackageScope;
      const found = readPackageScope(file);
      const isTold = found && found.data.type !== 'none';
      if (isTold || !isModule(pathToFileURL(file))) return found;
      process.execArgv.push('--experimental-default-type=module'); // for the main of a fork
      return { data: { type: 'module' } };
    };
  };

  // A driver of sessions is a script, whatever a package.json beside it says.
  const readAsScript = () => {
    const { readPackageScope } = reader;
    reader.readPackageScope = (file) => {
      const found = readPackageScope(file);
      if (!found || file !== PROGRAM) return found;
      return { ...found, data: { ...found.data, type: 'none' } };
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

  if (isMainThread) process.chdir(FOLDER);
  if (isMainThread && process.env[AGAIN] === undefined) {
    rehearse();
    receive();
    if (process.env[AGAIN] !== undefined) startAgain();
  }
  if (process.env[SESSION] !== undefined) readAsScript();
  findModules();
  if (isMainThread) letStdinGo();
  delete process.env[AGAIN];
  delete process.env[SESSION];

  // Nothing is left of how this file was loaded.
  Module.builtinModules = Module.builtinModules.filter((name) => !name.startsWith('internal/'));
  delete require.cache[__filename];
  delete process._preload_modules;
  process.execArgv.length = 0;
}

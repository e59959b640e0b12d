// Loaded before the program: holds Node, already started, until the program is
// there. What follows is Node's own way of running a file, so traces show
// nothing of this one.
'use strict';
{
  const fs = require('fs');
  const MESSAGE = 3;
  const NOTE = 4;
  const PROGRAM = '/sandbox/main.js';

  // What every program goes through, while nobody waits for it: an empty module is
  // loaded, and nothing is printed.
  const { Script } = require('vm');
  new Script('(function(){})');
  require('/dev/null');
  delete require.cache['/dev/null'];
  for (const stream of [process.stdout, process.stderr]) {
    stream.write('');
    // It has made the pipe one that does not block, also for `fs` and child processes.
    stream._handle?.setBlocking(true);
  }
  const { Writable } = require('stream');
  new console.Console(new Writable({ write: (chunk, encoding, done) => done() })).log('');

  fs.writeSync(NOTE, '\n');
  const [count, ...fields] = fs.readFileSync(MESSAGE, 'utf8').split('\0').slice(0, -1);
  fs.closeSync(MESSAGE);
  process.argv.push(...fields.splice(0, Number(count)));
  for (const pair of fields) {
    const [, name, value] = /^([^=]*)=([^]*)$/.exec(pair);
    process.env[name] = value;
  }
  const session = process.env.SANDBOXD_SESSION !== undefined;
  delete process.env.SANDBOXD_SESSION;
  if (session) { // its driver goes on with the notes, and is a script beside any package.json
    const Module = require('module');
    Module.runMain = () => {
      const main = process.mainModule = new Module('.');
      main._compile(fs.readFileSync(PROGRAM, 'utf8'), PROGRAM);
    };
  } else fs.closeSync(NOTE);

  // An ES module is told apart as newer Nodes do by themselves: it does not
  // compile as a script, and the error says why. This Node goes by the name,
  // and has chosen the main module already: it is loaded in its place.
  const code = fs.readFileSync(PROGRAM, 'utf8');
  try {
    new Script(`(function(){${code}\n})`);
  } catch (error) {
    if (/import statement|token 'export'|import\.meta|await is only valid/.test(error.message)) {
      const module = PROGRAM.replace(/js$/, 'mjs');
      const load = require.extensions['.js'];
      fs.writeFileSync(module, code);
      require.extensions['.js'] = () => {
        require.extensions['.js'] = load;
        let settled = false;
        process.once('exit', (code) => {
          if (!settled && !code) process.exitCode = 13; // an await that nothing ends
        });
        import(module).finally(() => { settled = true; });
      };
    }
  }

  delete require.cache[__filename];
  process.execArgv.length = 0;
}

/* What the template uses of Python itself, as its stable ABI has it from 3.2 on
 * (moduleobject.h, methodobject.h): there are no headers of it where this is built. Weak,
 * since all else that is not defined here fails the build. */
#ifndef SANDBOXD_PYTHON_H
#define SANDBOXD_PYTHON_H

#define PYTHON __attribute__((weak)) extern

enum { PYTHON_ABI = 3, METH_NOARGS = 4, METH_O = 8 };

typedef struct object {
	long references;
	void *type;
} PyObject;

struct method {
	const char *name;
	PyObject *(*function)(PyObject *module, PyObject *argument);
	int flags;
	const char *doc;
};

struct module {
	PyObject object;
	PyObject *(*init)(void);
	long index;
	PyObject *copy;
	const char *name;
	const char *doc;
	long size; /* of its state; -1: it has none that could be made twice */
	struct method *methods;
	void *slots, *traverse, *clear, *free;
};

PYTHON PyObject *PyModule_Create2(struct module *definition, int abi);
PYTHON PyObject *PyLong_FromLong(long value);
PYTHON long PyLong_AsLong(PyObject *value);
PYTHON PyObject *PyUnicode_FromString(const char *text);

#endif

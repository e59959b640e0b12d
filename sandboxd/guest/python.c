/* enter.c as a module of Python: ctypes, which could call it as well, would be a tenth of
 * all that a fork of the template copies. */
#define _GNU_SOURCE
#include "enter.h"
#include "python.h"
#include "syscalls.h"

#include <linux/bpf_common.h>

static struct sock_filter instructions[BPF_MAXINSNS];
static struct entrance entrance = {.step = ""};

/* Reads the filter's instructions. Returns their bytes, or a negative errno. */
static PyObject *take_filter(PyObject *module, PyObject *none)
{
	long bytes = CALL4(SYS_pread64, FILTER_FD, instructions, sizeof(instructions), 0);

	(void)module, (void)none;
	entrance.step = "read the filter";
	if (bytes > 0)
		set_filter(&entrance, instructions, (unsigned long)bytes);
	return PyLong_FromLong(bytes);
}

static PyObject *next(PyObject *module, PyObject *none)
{
	(void)module, (void)none;
	return PyLong_FromLong(template_next(&entrance));
}

static PyObject *wait(PyObject *module, PyObject *child)
{
	(void)module;
	return PyLong_FromLong(template_wait(&entrance, (int)PyLong_AsLong(child)));
}

static PyObject *enter_box(PyObject *module, PyObject *none)
{
	(void)module, (void)none;
	return PyLong_FromLong(enter(&entrance));
}

/* What a negative errno was the answer to. */
static PyObject *step(PyObject *module, PyObject *none)
{
	(void)module, (void)none;
	return PyUnicode_FromString(entrance.step);
}

PyObject *PyInit_enter(void);

PyObject *PyInit_enter(void)
{
	static struct method methods[] = {{"take_filter", take_filter, METH_NOARGS, 0},
					  {"next", next, METH_NOARGS, 0},
					  {"wait", wait, METH_O, 0},
					  {"enter", enter_box, METH_NOARGS, 0},
					  {"step", step, METH_NOARGS, 0},
					  {0}};
	static struct module definition = {
		.object = {.references = 1}, .name = "enter", .size = -1, .methods = methods};

	return PyModule_Create2(&definition, PYTHON_ABI);
}

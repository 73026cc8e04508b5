/* Lines of fields changed: one allocation instead of a slice and a sum for each piece.
 *
 * As in _scan.c every function takes what is usual and returns None for anything else: then
 * the Python beside its caller does the same step by step, and raises what is to be raised
 * (tests/unit/test_sip_lines.py holds both forms to the same answer).
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

static int
are_bytes(PyObject *const *args, Py_ssize_t nargs, Py_ssize_t wanted)
{
    int all = nargs == wanted;
    for (Py_ssize_t i = 0; all && i < nargs; i++)
        all = PyBytes_CheckExact(args[i]);
    if (!all)
        PyErr_Format(PyExc_TypeError, "%zd octet strings are wanted", wanted);
    return all;
}

static int
breaks_line(const char *at, Py_ssize_t length)
{
    return memchr(at, '\n', (size_t)length) != NULL || memchr(at, '\r', (size_t)length) != NULL;
}

static char *
put(char *to, const char *from, Py_ssize_t length)
{
    memcpy(to, from, (size_t)length);
    return to + length;
}

/* -- one line -------------------------------------------------------------------------- */

PyDoc_STRVAR(swapped_doc, "swapped(line, old, new)\n--\n\n"
"Return the line with new where old began its value, or None.");

static PyObject *
swapped(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!are_bytes(args, nargs, 3))
        return NULL;
    const char *line = PyBytes_AS_STRING(args[0]), *end = line + PyBytes_GET_SIZE(args[0]);
    const Py_ssize_t old = PyBytes_GET_SIZE(args[1]), new = PyBytes_GET_SIZE(args[2]);
    const char *at = memchr(line, ':', (size_t)(end - line));
    if (at == NULL || breaks_line(PyBytes_AS_STRING(args[2]), new))
        Py_RETURN_NONE;
    for (at++; at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n');)
        at++;
    if (end - at < old || memcmp(at, PyBytes_AS_STRING(args[1]), (size_t)old) != 0)
        Py_RETURN_NONE;
    PyObject *made = PyBytes_FromStringAndSize(NULL, end - line - old + new);
    if (made != NULL) {
        char *to = put(PyBytes_AS_STRING(made), line, at - line);
        to = put(to, PyBytes_AS_STRING(args[2]), new);
        put(to, at + old, end - at - old);
    }
    return made;
}

static PyObject *
named(const char *name, Py_ssize_t length, PyObject *value)
{
    const Py_ssize_t value_length = PyBytes_GET_SIZE(value);
    if (breaks_line(PyBytes_AS_STRING(value), value_length))
        Py_RETURN_NONE;
    PyObject *made = PyBytes_FromStringAndSize(NULL, length + 2 + value_length);
    if (made != NULL) {
        char *to = put(PyBytes_AS_STRING(made), name, length);
        to = put(to, ": ", 2);
        put(to, PyBytes_AS_STRING(value), value_length);
    }
    return made;
}

PyDoc_STRVAR(given_doc, "given(line, value)\n--\n\n"
"Return the line with another value, its name as it is spelled, or None.");

static PyObject *
given(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!are_bytes(args, nargs, 2))
        return NULL;
    const char *line = PyBytes_AS_STRING(args[0]);
    const char *colon = memchr(line, ':', (size_t)PyBytes_GET_SIZE(args[0]));
    if (colon == NULL)
        Py_RETURN_NONE;
    return named(line, colon - line, args[1]);
}

PyDoc_STRVAR(field_doc, "field(spelled, value)\n--\n\nReturn a new line, or None.");

static PyObject *
field(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!are_bytes(args, nargs, 2))
        return NULL;
    return named(PyBytes_AS_STRING(args[0]), PyBytes_GET_SIZE(args[0]), args[1]);
}

PyDoc_STRVAR(count_doc, "count(line, largest)\n--\n\n"
"Return the number that is the value of an unfolded field, at most largest, or None.");

static PyObject *
count(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2 || !PyBytes_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "count takes a line and a number");
        return NULL;
    }
    const long largest = PyLong_AsLong(args[1]);
    if (largest == -1 && PyErr_Occurred())
        return NULL;
    const char *at = PyBytes_AS_STRING(args[0]), *end = at + PyBytes_GET_SIZE(args[0]);
    at = memchr(at, ':', (size_t)(end - at));
    if (at == NULL)
        Py_RETURN_NONE;
    for (at++; at < end && *at == ' ';)
        at++;
    if (at == end || end - at > 9)
        Py_RETURN_NONE;
    long number = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            Py_RETURN_NONE;
        number = number * 10 + (*at - '0');
    }
    if (number > largest)
        Py_RETURN_NONE;
    return PyLong_FromLong(number);
}

/* -- a Via ----------------------------------------------------------------------------- */

PyDoc_STRVAR(marked_doc, "marked(value, received, port)\n--\n\n"
"Return a Via value with rport=port where there is an rport, its received taken out and this\n"
"one behind all else, or None. Empty octets stand for no received.");

static int
is_called(const char *at, Py_ssize_t length, const char *name)
{
    for (Py_ssize_t i = 0; i < length; i++)
        if ((at[i] | 0x20) != name[i])
            return 0;
    return 1;
}

static PyObject *
marked(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!are_bytes(args, nargs < 2 ? nargs : 2, 2))
        return NULL;
    if (nargs != 3) {
        PyErr_SetString(PyExc_TypeError, "marked takes a value, an address and a port");
        return NULL;
    }
    const long port = PyLong_AsLong(args[2]);
    if (port == -1 && PyErr_Occurred())
        return NULL;
    const char *at = PyBytes_AS_STRING(args[0]), *end = at + PyBytes_GET_SIZE(args[0]);
    const Py_ssize_t received = PyBytes_GET_SIZE(args[1]);
    char made[512], *to = made;
    if (end - at + received > 400 || port < 0 || port > 65535)
        Py_RETURN_NONE;
    const char *next = memchr(at, ';', (size_t)(end - at));
    if (next == NULL)
        next = end;
    to = put(to, at, next - at);
    while (next < end) {
        at = next + 1;
        const char *equals = NULL;
        for (next = at; next < end && *next != ';'; next++) {
            if (*next == '"' || *next <= ' ')
                Py_RETURN_NONE;
            if (*next == '=' && equals == NULL)
                equals = next;
        }
        const Py_ssize_t length = (equals == NULL ? next : equals) - at;
        if (length == 8 && is_called(at, 8, "received"))
            continue;
        *to++ = ';';
        if (length == 5 && is_called(at, 5, "rport")) {
            if (to - made > 490)
                Py_RETURN_NONE; /* many of them */
            to = put(to, "rport=", 6);
            char digits[8];
            int many = 0;
            for (long left = port; left || !many; left /= 10)
                digits[many++] = (char)('0' + left % 10);
            while (many)
                *to++ = digits[--many];
        }
        else
            to = put(to, at, next - at);
        if (to - made > 490 - (end - next) - received)
            Py_RETURN_NONE;
    }
    if (received) {
        to = put(to, ";received=", 10);
        to = put(to, PyBytes_AS_STRING(args[1]), received);
    }
    return PyBytes_FromStringAndSize(made, to - made);
}

/* -- the module ------------------------------------------------------------------------ */

#define FAST(function) (PyCFunction)(void (*)(void))function, METH_FASTCALL

static PyMethodDef functions[] = {
    {"swapped", FAST(swapped), swapped_doc}, {"given", FAST(given), given_doc},
    {"field", FAST(field), field_doc},       {"count", FAST(count), count_doc},
    {"marked", FAST(marked), marked_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "uacproxy.sip._lines",
    .m_doc = "Lines changed; None says that Python is to do it.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC
PyInit__lines(void)
{
    return PyModule_Create(&module);
}

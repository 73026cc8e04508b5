/* The header of a message for _scan.c: see _header.c. */

#ifndef UACPROXY_SIP_HEADER_H
#define UACPROXY_SIP_HEADER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

typedef struct {
    PyObject *name;      /* canonical */
    PyObject *line;      /* NULL: nobody has asked for it, it is octets[begin:end] */
    uint32_t begin, end; /* of a line that is still as it came */
} Field;

/* Return a header of fields that stand in octets, or NULL; the names are taken over, also then. */
PyObject *header_of_octets(PyObject *octets, const Field *fields, Py_ssize_t many);

/* Add type and functions to a module; 0, or -1 with an exception set. */
int header_join(PyObject *module);

#endif

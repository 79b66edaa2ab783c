// The part of the module that is the native engine.
#ifndef LIC_BIND_NN_H
#define LIC_BIND_NN_H

#include <pybind11/pybind11.h>

void bind_nn(pybind11::module_& m);
void bind_jpeg(pybind11::module_& m);

// For _core_test: parts of the engine that the product calls from within alone.
void bind_nn_parts(pybind11::module_& m);

#endif

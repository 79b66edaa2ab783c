// Python's lock, let go of while the core works. With bind*.cpp the only files that know Python.
#ifndef LIC_RELEASED_H
#define LIC_RELEASED_H

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

namespace lic_bind {

// Up to Python 3.13 a daemon thread that asks for the lock while the interpreter ends is ended there, by unwinding its
// stack; through a destructor that ends the process (pybind11's own gil_scoped_release has one), and through our
// buffers, which may not be let go of without the lock. So the thread stays here, as it does from Python 3.14 on.
class Released {
 public:
    Released() : state_(PyEval_SaveThread()) {}
    Released(const Released&) = delete;
    Released& operator=(const Released&) = delete;
    ~Released() {
        try {
            PyEval_RestoreThread(state_);
        } catch (...) {
            for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
        }
    }

 private:
    PyThreadState* state_;
};

}  // namespace lic_bind

#endif

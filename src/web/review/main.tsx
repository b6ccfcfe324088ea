import { mount } from '../parts/mount.tsx';
import { Review } from './review.tsx';

mount(Review);
